"""Modified beam search of a transducer: at most one label a frame, equal prefixes merged, a whole batch at once."""

from dataclasses import dataclass
from typing import Callable, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output, initial_context
from icefall_discrete.decoding.prediction import Predictions, answers_at_once
from icefall_discrete.decoding.scorer import Scorer, SlotScores
from icefall_discrete.decoding.traces import Order, Traces
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import LabelModel, TransducerModel

# Prefixes are told apart by a 64-bit polynomial hash, wrapping around; the multiplier is odd.
HASH_MULTIPLIER = 6364136223846793005
UTTERANCE_MULTIPLIER = 1442695040888963407


@dataclass(frozen=True)
class BeamConfig:
    """beam_size: prefixes kept; blank_penalty: taken off the logit of blank; temperature: divides the logits.

    nbest: hypotheses returned for each utterance, fewer where the beam holds fewer. emit_unk: whether `<unk>` may be
    found.
    """

    beam_size: int = 4
    blank_penalty: float = 0.0
    temperature: float = 1.0
    nbest: int = 1
    emit_unk: bool = False

    def __post_init__(self) -> None:
        if self.beam_size < 1 or self.temperature <= 0.0:
            raise ValueError(
                f"beam_size is {self.beam_size} and temperature {self.temperature}; expected at least 1 and above 0."
            )
        if self.nbest > self.beam_size:
            raise ValueError(f"nbest is {self.nbest}, but beam_size keeps {self.beam_size}; raise --beam-size.")

    def log_probs(self, logits: Tensor, model: LabelModel) -> Tensor:
        """Log-probabilities (..., V) of logits (..., V), with the penalty and the temperature."""
        return unit_log_probs(logits, model, self.blank_penalty, self.temperature, self.emit_unk)


@dataclass
class Beams:
    """The prefixes of N utterances, K each; a slot that is not in use has score -inf."""

    score: Tensor  # (N, K) nats
    prefix: Tensor  # (N, K, context_size + 2) int64: the context, the length, the hash

    def first(self, num: int) -> "Beams":
        """The first `num` utterances, as views."""
        return Beams(self.score[:num], self.prefix[:num])


class Candidates(NamedTuple):
    """What may follow the K prefixes of N utterances: scores (N, K, L) in nats, and units; None: the L are all."""

    scores: Tensor
    units: Optional[Tensor]


@torch.no_grad()
def modified_beam_search(
    model: TransducerModel,
    encoder_out: Tensor,
    encoder_lens: Tensor,
    config: BeamConfig,
    scorer: Optional[Scorer] = None,
) -> List[List[Hypothesis]]:
    """Search with `config.beam_size` prefixes; the probabilities of alignments with equal labels are added.

    Args:
      model: has `predictor` (with `context_size` and `blank_id`) and `joiner`.
      encoder_out: (N, T', D).
      encoder_lens: (N,).
      config: beam and logits.
      scorer: adds scores to labels, before the best ones are chosen.

    Returns:
      `config.nbest` hypotheses for each utterance, best first: sorted by the score divided by the length (start symbols
      counted, as icefall does); the score itself is not divided.
    """
    order = Order.of(check_encoder_output(encoder_out, encoder_lens))
    device, blank_id = encoder_out.device, model.blank_id
    index = order.index(device)
    am = model.joiner.encoder_proj(encoder_out[index])
    next_units = NextUnits(model, config)
    beams = start_beams(model, len(index), config.beam_size, device)
    final_score, final_length = beams.score.clone(), beams.prefix[..., -2].clone()
    extra = SlotScores(scorer, index, config.beam_size, blank_id)
    traces = Traces(order, config.beam_size, blank_id)
    for frame, frame_am in enumerate(am.unbind(1)[: order.num_frames]):
        active = order.num_active(frame)
        if active < len(beams.score):
            beams = beams.first(active)
        candidates = next_units.candidates(frame_am[:active], beams, None if scorer is None else extra.add_to)
        beams, parents, units = advance_beams(beams, candidates, blank_id)
        extra.move(parents, units)
        traces.add(parents, units)
        ended = order.num_active(frame + 1)
        if ended < active:
            final_score[ended:active], final_length[ended:active] = beams.score[ended:], beams.prefix[ended:, :, -2]
    score = extra.final(final_score)
    return traces.best(score, score / (final_length + model.predictor.context_size), config.nbest)


def start_beams(model: TransducerModel, num: int, beam_size: int, device: torch.device) -> Beams:
    """One empty prefix for each utterance."""
    score = torch.full((num, beam_size), float("-inf"), device=device)
    score[:, 0] = 0.0
    context = initial_context(num * beam_size, model.predictor.context_size, model.blank_id, device)
    prefix = torch.cat([context, context.new_zeros(num * beam_size, 2)], dim=1)
    return Beams(score, prefix.view(num, beam_size, prefix.size(1)))


class NextUnits:
    """What may follow the prefixes of a beam, by the joiner.

    Prefixes of an utterance that end in the same labels share it. On the CPU it is computed for them once; on an
    accelerator, where finding them would mean to wait for it at every frame, for each.

    Args:
      model: has `predictor` and `joiner`. config: beam and logits.
    """

    def __init__(self, model: TransducerModel, config: BeamConfig) -> None:
        self._model, self._config = model, config
        self._predictions = Predictions(model)
        device, size = model.predictor.embedding.weight.device, model.predictor.context_size
        self._key_weights = torch.tensor([pow(HASH_MULTIPLIER, n, 2**62) for n in range(size)], device=device)

    def candidates(self, am: Tensor, beams: Beams, add_to: Optional[Callable[[Tensor], Tensor]]) -> Candidates:
        """The units that may be among the best ones of the next frame, projected encoder output am (N, D).

        Args:
          add_to: makes log-probabilities (N, K, V) scores of units; None: they are.
        """
        (num, size), before = beams.score.shape, beams.score.unsqueeze(2)
        log_probs, place = self._shared(am, beams) if answers_at_once(am.device) else self._apart(am, beams)
        if add_to is not None:
            every = log_probs if place is None else log_probs.index_select(0, place)
            return Candidates(add_to(every.view(num, size, -1)) + before, None)
        # None of the best of all is outside of the best of its prefix.
        best = log_probs.topk(min(size, log_probs.size(1)), dim=1)
        scores, units = best if place is None else (part.index_select(0, place) for part in best)
        return Candidates(scores.view(num, size, -1) + before, units)

    def _apart(self, am: Tensor, beams: Beams) -> Tuple[Tensor, None]:
        """Log-probabilities (N x K, V)."""
        contexts = beams.prefix[..., :-2]
        predicted = self._predictions.of(contexts.flatten(0, 1)).view(*contexts.shape[:2], -1)
        logits = self._model.joiner(am.unsqueeze(1), predicted, project_input=False)
        return self._config.log_probs(logits, self._model).flatten(0, 1), None

    def _shared(self, am: Tensor, beams: Beams) -> Tuple[Tensor, Tensor]:
        """Log-probabilities (M, V) of different contexts, and which of them each prefix (N x K,) has."""
        contexts, size = beams.prefix[..., :-2], beams.score.size(1)
        of_context = (contexts * self._key_weights).sum(dim=2)
        utterances = torch.arange(len(contexts)).unsqueeze(1)
        keys, own = of_context.flatten().tolist(), (of_context + utterances * UTTERANCE_MULTIPLIER).flatten().tolist()
        # The first slot of an utterance with a context: of equal ones the last that is written counts.
        first_of = dict(zip(reversed(own), range(len(own) - 1, -1, -1)))
        place_of, slots = dict(zip(first_of, range(len(first_of)))), list(first_of.values())
        rows = self._predictions.known([keys[slot] for slot in slots], contexts.flatten(0, 1), slots)
        index = torch.tensor([*rows, *(slot // size for slot in slots), *map(place_of.__getitem__, own)])
        own_rows, utterances, places = index.split([len(rows), len(rows), len(own)])
        predicted = self._predictions.kept.index_select(0, own_rows)
        logits = self._model.joiner(am.index_select(0, utterances), predicted, project_input=False)
        return self._config.log_probs(logits, self._model), places


def advance_beams(beams: Beams, candidates: Candidates, blank_id: int) -> Tuple[Beams, Tensor, Tensor]:
    """The best extensions of the prefixes in `beams`, and each one's parent slot and unit (N, K)."""
    num, size, width = candidates.scores.shape
    score, place = candidates.scores.view(num, -1).topk(size, dim=1)
    parent = torch.div(place, width, rounding_mode="floor")
    unit = place - parent * width if candidates.units is None else candidates.units.view(num, -1).gather(1, place)
    prefix = beams.prefix.gather(1, parent.unsqueeze(2).expand(-1, -1, beams.prefix.size(2)))
    appended = unit.unsqueeze(2)
    hashes = prefix[..., -1:] * HASH_MULTIPLIER + appended
    longer = torch.cat([prefix[..., 1:-2], appended, prefix[..., -2:-1] + 1, hashes], dim=2)
    prefix = torch.where(appended != blank_id, longer, prefix)
    return Beams(_merge_equal(score, prefix[..., -1]), prefix), parent, unit


def _merge_equal(score: Tensor, hashes: Tensor) -> Tensor:
    """Add up the probabilities of equal prefixes in the first of them, and set the others to -inf."""
    same = hashes.unsqueeze(2) == hashes.unsqueeze(1)
    if answers_at_once(same.device) and int(same.count_nonzero()) == score.numel():
        return score
    earlier = same.tril(diagonal=-1).any(dim=2)
    total = score.unsqueeze(1).masked_fill(~same, float("-inf")).logsumexp(dim=2)
    return total.masked_fill(earlier, float("-inf"))
