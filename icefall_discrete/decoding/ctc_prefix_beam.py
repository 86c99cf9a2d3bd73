"""Prefix beam search of the CTC head: probabilities of all alignments of a prefix are added, a whole batch at once."""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output
from icefall_discrete.decoding.modified_beam import HASH_MULTIPLIER, BeamConfig
from icefall_discrete.decoding.scorer import Scorer, SlotScores
from icefall_discrete.decoding.traces import Order, Traces
from icefall_discrete.nn.heads.contract import CtcModel

_NEVER = float("-inf")


@dataclass
class _Prefixes:
    """The prefixes of N utterances, K each, all different; a slot that is not in use has length -1."""

    ends_blank: Tensor  # (N, K) nats, of the alignments that end in blank
    ends_label: Tensor  # (N, K) nats, of those that end in the last label
    last: Tensor  # (N, K) the last label; blank for the empty prefix
    length: Tensor  # (N, K)
    hash: Tensor  # (N, K)

    def first(self, num: int) -> "_Prefixes":
        """The first `num` utterances, as views."""
        views = (self.ends_blank, self.ends_label, self.last, self.length, self.hash)
        return _Prefixes(*(tensor[:num] for tensor in views))

    @property
    def score(self) -> Tensor:
        """Nats of all alignments (N, K)."""
        return torch.logaddexp(self.ends_blank, self.ends_label)


@torch.no_grad()
def ctc_prefix_beam_search(
    model: CtcModel,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    config: BeamConfig,
    scorer: Optional[Scorer] = None,
) -> List[List[Hypothesis]]:
    """Search the label sequences of the CTC head with `config.beam_size` prefixes.

    Graves and Jaitly 2014 and Hannun et al. 2014 (https://arxiv.org/abs/1408.2873) describe the search for one
    utterance.

    Args:
      model: has `ctc_output` ((N, T', D) to logits (N, T', V)) and `blank_id`.
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      config: beam and logits.
      scorer: adds scores to labels, before the best prefixes are chosen.

    Returns:
      `config.nbest` hypotheses for each utterance, best score first; a label's timestamp is the frame at which its
      prefix entered the beam.
    """
    order = Order.of(check_encoder_output(encoder_out, encoder_lens))
    device, blank_id = encoder_out.device, model.blank_id
    index = order.index(device)
    log_probs = config.log_probs(model.ctc_output(encoder_out[index]), model)
    prefixes = _start(len(index), config.beam_size, blank_id, device)
    extra = SlotScores(scorer, index, config.beam_size, blank_id)
    traces = Traces(order, config.beam_size, blank_id, device)
    for frame in range(order.num_frames):
        active = order.num_active(frame)
        current, frame_probs = prefixes.first(active), log_probs[:active, frame]
        longer = extra.add_to(_longer(current, frame_probs))
        parents, units = _advance(current, frame_probs, longer, blank_id)
        extra.move(parents, units)
        traces.add(frame, parents, units)
    score = extra.final(prefixes.score)
    return traces.best(score, score, config.nbest)


def _start(num: int, beam_size: int, blank_id: int, device: torch.device) -> _Prefixes:
    """One empty prefix for each utterance."""
    never = torch.full((num, beam_size), _NEVER, device=device)
    ends_blank = never.clone()
    ends_blank[:, 0] = 0.0
    unused = torch.full((num, beam_size), -1, dtype=torch.int64, device=device)
    unused[:, 0] = 0
    return _Prefixes(ends_blank, never, torch.full_like(unused, blank_id), unused, torch.zeros_like(unused))


def _longer(prefixes: _Prefixes, log_probs: Tensor) -> Tensor:
    """Score (N, K, V) of each prefix followed by each label; the same label again needs a blank in between."""
    last = prefixes.last.unsqueeze(2)
    extended = prefixes.score.unsqueeze(2) + log_probs.unsqueeze(1)
    again = prefixes.ends_blank.unsqueeze(2) + log_probs.unsqueeze(1).expand_as(extended).gather(2, last)
    return extended.scatter(2, last, again)


def _advance(prefixes: _Prefixes, log_probs: Tensor, longer: Tensor, blank_id: int) -> Tuple[Tensor, Tensor]:
    """Replace `prefixes` by the best ones of the next frame, in place; returns each one's parent slot and unit."""
    size, vocab_size = longer.shape[1:]
    blank_stays = prefixes.score + log_probs[:, blank_id : blank_id + 1]
    label_stays = prefixes.ends_label + log_probs.gather(1, prefixes.last)
    # A prefix and a label may give what another slot holds already: then it belongs to that slot.
    into = prefixes.last.unsqueeze(1).expand(-1, size, -1)  # (N, i, j): the label that would make slot j of slot i
    same = prefixes.hash.unsqueeze(2) * HASH_MULTIPLIER + into == prefixes.hash.unsqueeze(1)
    same &= prefixes.length.unsqueeze(2) + 1 == prefixes.length.unsqueeze(1)
    same &= (prefixes.length > 0).unsqueeze(1)
    joined = longer.gather(2, into).masked_fill(~same, _NEVER)
    label_stays = torch.logaddexp(label_stays, joined.logsumexp(dim=1))
    taken = torch.zeros_like(joined).masked_fill(same, _NEVER)
    longer = longer.scatter_add(2, into, taken)
    longer[..., blank_id] = torch.logaddexp(blank_stays, label_stays)
    top = longer.flatten(1).topk(size, dim=1)
    parent = torch.div(top.indices, vocab_size, rounding_mode="floor")
    unit = top.indices - parent * vocab_size
    emits = unit != blank_id
    hashes, length = prefixes.hash.gather(1, parent), prefixes.length.gather(1, parent) + emits
    prefixes.ends_blank.copy_(blank_stays.gather(1, parent).masked_fill(emits, _NEVER))
    prefixes.ends_label.copy_(torch.where(emits, top.values, label_stays.gather(1, parent)))
    prefixes.last.copy_(torch.where(emits, unit, prefixes.last.gather(1, parent)))
    prefixes.hash.copy_(torch.where(emits, hashes * HASH_MULTIPLIER + unit, hashes))
    # Copies of a prefix that have no probability must not take that of the real one.
    prefixes.length.copy_(length.masked_fill(top.values == _NEVER, -1))
    return parent, unit
