"""Modified beam search of a transducer: at most one label a frame, equal prefixes merged, a whole batch at once."""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output, initial_context
from icefall_discrete.decoding.prediction import Predictions
from icefall_discrete.decoding.scorer import Scorer, SlotScores
from icefall_discrete.decoding.traces import Order, Traces
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import LabelModel, TransducerModel

# Prefixes are told apart by a 64-bit polynomial hash, wrapping around; the multiplier is odd.
HASH_MULTIPLIER = 6364136223846793005
# Weights of the joiner's output layer from which it pays to look for prefixes that share their next units.
MIN_SHARED_WEIGHTS = 2**15


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
    predicted: Tensor  # (N, K, D) projected predictor output for the context

    def first(self, num: int) -> "Beams":
        """The first `num` utterances, as views."""
        return Beams(self.score[:num], self.prefix[:num], self.predicted[:num])


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
    predictions = Predictions(model)
    beams = start_beams(model, predictions, len(index), config.beam_size, device)
    final_score, final_length = beams.score.clone(), beams.prefix[..., -2].clone()
    extra = SlotScores(scorer, index, config.beam_size, blank_id)
    traces = Traces(order, config.beam_size, blank_id, device)
    for frame in range(order.num_frames):
        active = order.num_active(frame)
        if active < len(beams.score):
            beams = beams.first(active)
        scores = extra.add_to(next_log_probs(model, am[:active, frame], beams, config)) + beams.score.unsqueeze(2)
        beams, parents, units = advance_beams(beams, scores, predictions, blank_id)
        extra.move(parents, units)
        traces.add(frame, parents, units)
        ended = order.num_active(frame + 1)
        if ended < active:
            final_score[ended:active], final_length[ended:active] = beams.score[ended:], beams.prefix[ended:, :, -2]
    score = extra.final(final_score)
    return traces.best(score, score / (final_length + model.predictor.context_size), config.nbest)


def start_beams(
    model: TransducerModel, predictions: Predictions, num: int, beam_size: int, device: torch.device
) -> Beams:
    """One empty prefix for each utterance."""
    score = torch.full((num, beam_size), float("-inf"), device=device)
    score[:, 0] = 0.0
    context = initial_context(num * beam_size, model.predictor.context_size, model.blank_id, device)
    predicted = predictions.of(context)
    prefix = torch.cat([context, context.new_zeros(num * beam_size, 2)], dim=1)
    return Beams(score, *(tensor.view(num, beam_size, tensor.size(1)) for tensor in (prefix, predicted)))


def next_log_probs(model: TransducerModel, am: Tensor, beams: Beams, config: BeamConfig) -> Tensor:
    """Log-probabilities (N, K, V) of the next unit of each prefix, on a frame with projected encoder output am (N, D).

    Prefixes of an utterance that end in the same labels share them. Where the output layer is large and computing costs
    more than launching, they are computed once.
    """
    joiner = model.joiner
    num, size, _ = beams.predicted.shape
    if am.device.type != "cpu" or joiner.output_linear.weight.numel() < MIN_SHARED_WEIGHTS:
        return config.log_probs(joiner(am.unsqueeze(1), beams.predicted, project_input=False), model)
    context = beams.prefix[..., :-2]
    same = (context.unsqueeze(2) == context.unsqueeze(1)).all(dim=3)
    first = same.to(torch.uint8).argmax(dim=2)  # the first slot with the same context
    is_first = (first == torch.arange(size)).flatten()
    rows = is_first.nonzero().squeeze(1)
    utterance = torch.div(rows, size, rounding_mode="floor")
    predicted = beams.predicted.flatten(0, 1).index_select(0, rows)
    log_probs = config.log_probs(joiner(am.index_select(0, utterance), predicted, project_input=False), model)
    owner = (first + torch.arange(0, num * size, size).unsqueeze(1)).flatten()
    place = is_first.cumsum(0)[owner] - 1
    return log_probs.index_select(0, place).view(num, size, -1)


def advance_beams(
    beams: Beams, scores: Tensor, predictions: Predictions, blank_id: int
) -> Tuple[Beams, Tensor, Tensor]:
    """The best extensions of the prefixes in `beams`, and each one's parent slot and unit.

    scores: (N, K, V) of each prefix followed by each unit.
    """
    num, size, vocab_size = scores.shape
    score, place = scores.view(num, -1).topk(size, dim=1)
    parent = torch.div(place, vocab_size, rounding_mode="floor")
    unit = place - parent * vocab_size
    emits = unit != blank_id
    rows = (parent + torch.arange(0, num * size, size, device=place.device).unsqueeze(1)).flatten()
    prefix = beams.prefix.flatten(0, 1).index_select(0, rows).view(beams.prefix.shape)
    longer = torch.cat([prefix[..., 1:-1], prefix[..., -2:]], dim=2)
    longer[..., -3] = unit
    longer[..., -2] += 1
    longer[..., -1] = longer[..., -1] * HASH_MULTIPLIER + unit
    prefix = torch.where(emits.unsqueeze(2), longer, prefix)
    # The predictor sees labels only, so that a prefix that took a blank keeps what was predicted.
    predicted = beams.predicted.flatten(0, 1).index_select(0, rows)
    emitting = emits.flatten().nonzero().squeeze(1)
    if emitting.numel():
        predicted[emitting] = predictions.of(prefix.flatten(0, 1)[emitting, :-2])
    return Beams(_merge_equal(score, prefix[..., -1]), prefix, predicted.view(beams.predicted.shape)), parent, unit


def _merge_equal(score: Tensor, hashes: Tensor) -> Tensor:
    """Add up the probabilities of equal prefixes in the first of them, and set the others to -inf."""
    same = hashes.unsqueeze(2) == hashes.unsqueeze(1)
    earlier = same.tril(diagonal=-1).any(dim=2)
    if not earlier.any():
        return score
    total = score.unsqueeze(1).masked_fill(~same, float("-inf")).logsumexp(dim=2)
    return total.masked_fill(earlier, float("-inf"))
