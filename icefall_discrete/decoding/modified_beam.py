"""Modified beam search of a transducer: at most one label a frame, equal prefixes merged, a whole batch at once."""

from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis, PrefixScorer, check_encoder_output, initial_context

# Prefixes are told apart by their length and a 64-bit polynomial hash, wrapping around; the multiplier is odd.
HASH_MULTIPLIER = 6364136223846793005


@dataclass(frozen=True)
class BeamConfig:
    """beam_size: prefixes kept; blank_penalty: taken off the logit of blank; temperature: divides the logits."""

    beam_size: int = 4
    blank_penalty: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.beam_size < 1 or self.temperature <= 0.0:
            raise ValueError(
                f"beam_size is {self.beam_size} and temperature {self.temperature}; expected at least 1 and above 0."
            )


@dataclass
class _Beams:
    """The prefixes of N utterances, K each; a slot that is not in use has score -inf."""

    score: Tensor  # (N, K) nats
    context: Tensor  # (N, K, context_size)
    length: Tensor  # (N, K)
    hash: Tensor  # (N, K)
    labels: Optional[Tensor]  # (N, K, T'), kept only for a scorer

    def first(self, num: int) -> "_Beams":
        """The first `num` utterances, as views."""
        labels = None if self.labels is None else self.labels[:num]
        return _Beams(self.score[:num], self.context[:num], self.length[:num], self.hash[:num], labels)


@torch.no_grad()
def modified_beam_search(
    model: Any,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    config: BeamConfig,
    scorer: Optional[PrefixScorer] = None,
) -> List[Hypothesis]:
    """Search with `config.beam_size` prefixes; the probabilities of alignments with equal labels are added.

    Args:
      model: has `predictor` (with `context_size` and `blank_id`) and `joiner`.
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      config: beam and logits.
      scorer: adds scores to labels.

    Returns:
      A hypothesis for each utterance: the prefix with the best score divided by its length (start symbols counted, as
      icefall does); its score is not divided.
    """
    lens = check_encoder_output(encoder_out, encoder_lens)
    device, num = encoder_out.device, encoder_out.size(0)
    # Longest first: at any frame the utterances still searched are then the first ones.
    order = sorted(range(num), key=lambda n: -lens[n])
    sorted_lens = [lens[n] for n in order]
    num_frames = sorted_lens[0] if order else 0
    am = model.joiner.encoder_proj(encoder_out[torch.tensor(order, dtype=torch.int64, device=device)])
    beams = _start(model, num, num_frames if scorer is not None else None, config.beam_size, device)
    # After the end of an utterance every slot is its own parent and emits nothing.
    parents = torch.arange(config.beam_size, device=device).repeat(num_frames, num, 1)
    units = torch.full_like(parents, model.predictor.blank_id)
    active = num
    for frame in range(num_frames):
        while sorted_lens[active - 1] <= frame:
            active -= 1
        current = beams.first(active)
        scores = _extended_scores(model, am[:active, frame], current, config, scorer)
        parents[frame, :active], units[frame, :active] = _advance(current, scores, model.predictor.blank_id)
    best = (beams.score / (beams.length + model.predictor.context_size)).argmax(dim=1)
    score = beams.score.gather(1, best.unsqueeze(1)).squeeze(1).tolist()
    found = _trace_back(parents.cpu(), units.cpu(), best.cpu(), model.predictor.blank_id)
    hypotheses = {n: Hypothesis(labels, times, s) for n, (labels, times), s in zip(order, found, score)}
    return [hypotheses[n] for n in range(num)]


def _start(model: Any, num: int, history: Optional[int], beam_size: int, device: torch.device) -> _Beams:
    """One empty prefix for each utterance."""
    score = torch.full((num, beam_size), float("-inf"), device=device)
    score[:, 0] = 0.0
    zeros = torch.zeros(num, beam_size, dtype=torch.int64, device=device)
    context = initial_context(num * beam_size, model.predictor.context_size, model.predictor.blank_id, device)
    labels = None if history is None else zeros.unsqueeze(2).repeat(1, 1, history)
    return _Beams(score, context.view(num, beam_size, -1), zeros, zeros.clone(), labels)


def _extended_scores(
    model: Any, am: Tensor, beams: _Beams, config: BeamConfig, scorer: Optional[PrefixScorer]
) -> Tensor:
    """Score of each prefix followed by each unit, (N, K, V)."""
    num, size, context_size = beams.context.shape
    predicted = model.predictor(beams.context.reshape(num * size, context_size), need_pad=False).squeeze(1)
    lm = model.joiner.decoder_proj(predicted).view(num, size, -1)
    logits = model.joiner(am.unsqueeze(1).expand(-1, size, -1), lm, project_input=False).float()
    if config.blank_penalty != 0.0:
        logits[..., model.predictor.blank_id] -= config.blank_penalty
    log_probs = (logits / config.temperature).log_softmax(dim=2)
    if scorer is not None:
        extra = scorer(beams.labels.flatten(0, 1), beams.length.flatten()).view_as(log_probs).clone()
        extra[..., model.predictor.blank_id] = 0.0
        log_probs = log_probs + extra
    return log_probs + beams.score.unsqueeze(2)


def _advance(beams: _Beams, scores: Tensor, blank_id: int) -> Tuple[Tensor, Tensor]:
    """Replace the prefixes in `beams` by their best extensions, in place; returns each one's parent slot and unit."""
    size, vocab_size = scores.shape[1:]
    top = scores.flatten(1).topk(size, dim=1)
    parent = torch.div(top.indices, vocab_size, rounding_mode="floor")
    unit = top.indices - parent * vocab_size
    emits = unit != blank_id
    context = beams.context.gather(1, parent.unsqueeze(2).expand(-1, -1, beams.context.size(2)))
    moved = torch.cat([context[:, :, 1:], unit.unsqueeze(2)], dim=2)
    length, hashes = beams.length.gather(1, parent), beams.hash.gather(1, parent)
    if beams.labels is not None:
        labels = beams.labels.gather(1, parent.unsqueeze(2).expand(-1, -1, beams.labels.size(2)))
        # Behind the length anything may stand, so that a blank may write there too.
        beams.labels.copy_(labels.scatter(2, length.unsqueeze(2), unit.unsqueeze(2)))
    beams.context.copy_(torch.where(emits.unsqueeze(2), moved, context))
    beams.length.copy_(length + emits)
    beams.hash.copy_(torch.where(emits, hashes * HASH_MULTIPLIER + unit, hashes))
    beams.score.copy_(_merge_equal(top.values, beams))
    return parent, unit


def _merge_equal(score: Tensor, beams: _Beams) -> Tensor:
    """Add up the probabilities of equal prefixes in the first of them, and set the others to -inf."""
    same = beams.hash.unsqueeze(2) == beams.hash.unsqueeze(1)
    same &= beams.length.unsqueeze(2) == beams.length.unsqueeze(1)
    total = score.unsqueeze(1).masked_fill(~same, float("-inf")).logsumexp(dim=2)
    earlier = same.tril(diagonal=-1).any(dim=2)
    return total.masked_fill(earlier, float("-inf"))


def _trace_back(parents: Tensor, units: Tensor, slot: Tensor, blank_id: int) -> List[Tuple[List[int], List[int]]]:
    """Labels and their frames along the way to `slot` (N,); parents and units are (T', N, K)."""
    path = []
    for frame in range(parents.size(0) - 1, -1, -1):
        path.append(units[frame].gather(1, slot.unsqueeze(1)).squeeze(1))
        slot = parents[frame].gather(1, slot.unsqueeze(1)).squeeze(1)
    rows = torch.stack(path[::-1], dim=1).tolist() if path else [[] for _ in slot]
    found = []
    for row in rows:
        frames = [frame for frame, unit in enumerate(row) if unit != blank_id]
        found.append(([row[frame] for frame in frames], frames))
    return found
