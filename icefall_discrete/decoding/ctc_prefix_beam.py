"""Prefix beam search of the CTC head: probabilities of all alignments of a prefix are added, a whole batch at once."""

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

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
    # None of the best prefixes ends in a label that is not among the best of its frame, unless a scorer says so.
    likely = _every_unit(log_probs, blank_id) if scorer is not None else _likely(log_probs, blank_id, config.beam_size)
    prefixes = _start(len(index), config.beam_size, blank_id, device)
    extra = SlotScores(scorer, index, config.beam_size, blank_id)
    traces = Traces(order, config.beam_size, blank_id)
    for frame in range(order.num_frames):
        active = order.num_active(frame)
        current, frame_probs = prefixes.first(active), log_probs[:active, frame]
        parents, units = _advance(current, frame_probs, likely.at(active, frame), extra, blank_id)
        extra.move(parents, units)
        traces.add(parents, units)
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


class _Likely(NamedTuple):
    """L units for each frame, the blank at `blank_place`, with their log-probabilities in nats."""

    units: Tensor  # (N, T', L), of one frame (N, L)
    log_probs: Tensor
    blank_place: int

    def at(self, num: int, frame: int) -> "_Likely":
        """Those of a frame, for the first `num` utterances."""
        return _Likely(self.units[:num, frame], self.log_probs[:num, frame], self.blank_place)


def _every_unit(log_probs: Tensor, blank_id: int) -> _Likely:
    """All units on all frames."""
    return _Likely(torch.arange(log_probs.size(2), device=log_probs.device).expand_as(log_probs), log_probs, blank_id)


def _likely(log_probs: Tensor, blank_id: int, beam_size: int) -> _Likely:
    """The blank and the labels that K prefixes can get on each frame.

    A prefix has a score with a label that falls with the label's probability, but for its own last label and those that
    make one of the K - 1 other prefixes of it: K of 2 K labels are as all others are.
    """
    blank = torch.arange(log_probs.size(2), device=log_probs.device) == blank_id
    best = log_probs.masked_fill(blank, _NEVER).topk(min(2 * beam_size, log_probs.size(2) - 1), dim=2)
    units = torch.cat([torch.full_like(best.indices[..., :1], blank_id), best.indices], dim=2)
    return _Likely(units, torch.cat([log_probs[..., blank_id : blank_id + 1], best.values], dim=2), 0)


def _advance(
    prefixes: _Prefixes, log_probs: Tensor, likely: _Likely, extra: SlotScores, blank_id: int
) -> Tuple[Tensor, Tensor]:
    """Replace `prefixes` by the best ones of the next frame, in place; returns each one's parent slot and unit.

    Args:
      log_probs: (N, V) of all units. likely: those that may follow.
    """
    size = prefixes.last.size(1)
    score, last = prefixes.score, prefixes.last
    stays = log_probs.gather(1, last)
    blank_stays = score + log_probs[:, blank_id : blank_id + 1]
    label_stays = prefixes.ends_label + stays
    # The same label again needs a blank in between.
    is_last = likely.units.unsqueeze(1) == last.unsqueeze(2)
    longer = torch.where(is_last, prefixes.ends_blank.unsqueeze(2), score.unsqueeze(2))
    longer = extra.add_to(longer + likely.log_probs.unsqueeze(1))
    # A prefix and a label may give what another slot holds already: then it belongs to that slot.
    into = last.unsqueeze(1).expand(-1, size, -1)  # (N, i, j): the label that would make slot j of slot i
    same = prefixes.hash.unsqueeze(2) * HASH_MULTIPLIER + into == prefixes.hash.unsqueeze(1)
    same &= prefixes.length.unsqueeze(2) + 1 == prefixes.length.unsqueeze(1)
    same &= (prefixes.length > 0).unsqueeze(1)
    joined = torch.where(into == last.unsqueeze(2), prefixes.ends_blank.unsqueeze(2), score.unsqueeze(2))
    joined = extra.add_to(joined + stays.unsqueeze(1), into).masked_fill(~same, _NEVER)
    label_stays = torch.logaddexp(label_stays, joined.logsumexp(dim=1))
    taken = same.to(longer.dtype) @ is_last.to(longer.dtype) > 0
    longer = longer.masked_fill(taken, _NEVER)
    longer[..., likely.blank_place] = torch.logaddexp(blank_stays, label_stays)
    top = longer.flatten(1).topk(size, dim=1)
    parent = torch.div(top.indices, longer.size(2), rounding_mode="floor")
    unit = likely.units.gather(1, top.indices - parent * longer.size(2))
    emits = unit != blank_id
    hashes, length = prefixes.hash.gather(1, parent), prefixes.length.gather(1, parent) + emits
    prefixes.ends_blank.copy_(blank_stays.gather(1, parent).masked_fill(emits, _NEVER))
    prefixes.ends_label.copy_(torch.where(emits, top.values, label_stays.gather(1, parent)))
    prefixes.last.copy_(torch.where(emits, unit, prefixes.last.gather(1, parent)))
    prefixes.hash.copy_(torch.where(emits, hashes * HASH_MULTIPLIER + unit, hashes))
    # Copies of a prefix that have no probability must not take that of the real one.
    prefixes.length.copy_(length.masked_fill(top.values == _NEVER, -1))
    return parent, unit
