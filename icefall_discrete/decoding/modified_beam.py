"""Modified beam search of a transducer: at most one label a frame, equal prefixes merged, a whole batch at once."""

import functools
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.decoding.beams import (
    HASH_MULTIPLIER,
    Beams,
    Candidates,
    advance_beams,
    first_slots,
    start_beams,
)
from icefall_discrete.decoding.hypothesis import Hypothesis, check_encoder_output
from icefall_discrete.decoding.prediction import KeptPredictions, Predictions, answers_at_once
from icefall_discrete.decoding.scorer import Scorer, SlotScores
from icefall_discrete.decoding.traces import Order, Traces
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import LabelModel, TransducerModel

# The best units of a row are found one after the other up to so many, where there are so many rows for each of them.
_MOST_ROUNDS = 8
_ROWS_A_ROUND = 8

# Makes log-probabilities (N, K, V) scores of units.
AddTo = Callable[[Tensor], Tensor]


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
    # Frame by frame: what a step asks for lies together.
    am = model.joiner.encoder_proj(encoder_out.transpose(0, 1).index_select(1, index))
    next_units = NextUnits(model, config)
    beams = start_beams(model, len(index), config.beam_size, device)
    final_score, final_length = beams.score.clone(), beams.prefix[..., -2].clone()
    extra = SlotScores(scorer, index, config.beam_size, blank_id)
    traces = Traces(order, config.beam_size, blank_id)
    for frame, frame_am in enumerate(am[: order.num_frames]):
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


def _best_units(log_probs: np.ndarray, num: int) -> Tuple[np.ndarray, np.ndarray]:
    """The `num` best of each row of log_probs (M, V), which may be overwritten, and their units (M, num), best first.

    Where few are asked for of many rows, numpy finds one after the other in half the time of PyTorch's `topk`.
    """
    rows = len(log_probs)
    if num > _MOST_ROUNDS or rows < _ROWS_A_ROUND * num:
        best = torch.from_numpy(log_probs).topk(num, dim=1)
        return best.values.numpy(), best.indices.numpy()
    every, firsts = log_probs.reshape(-1), np.arange(0, log_probs.size, log_probs.shape[1])
    scores, units = np.empty((rows, num), log_probs.dtype), np.empty((rows, num), np.int64)
    for place in range(num):
        found = log_probs.argmax(axis=1)
        units[:, place] = found
        found += firsts
        scores[:, place] = every.take(found)
        every[found] = -np.inf
    return scores, units


class NextUnits:
    """What may follow the prefixes of a beam, by the joiner.

    Prefixes of an utterance that end in the same labels share it. On the CPU it is computed for them once; on an
    accelerator, where finding them would mean to wait for it at every frame, for each.

    Args:
      model: has `predictor` and `joiner`. config: beam and logits.
    """

    def __init__(self, model: TransducerModel, config: BeamConfig) -> None:
        self._model, self._config = model, config
        self._sums, self._logits = np.empty((2, 0, 0), np.float32), np.empty((0, 0), np.float32)
        self._key_weights = np.array([pow(HASH_MULTIPLIER, n, 2**62) for n in range(model.predictor.context_size)])

    def candidates(self, am: Tensor, beams: Beams, add_to: Optional[AddTo]) -> Candidates:
        """The units that may be among the best ones of the next frame, projected encoder output am (N, D).

        Args:
          add_to: None: log-probabilities are the scores.
        """
        here = answers_at_once(am.device) and am.dtype == torch.float32
        return self._candidates_here(am, beams, add_to) if here else self._candidates_afar(am, beams, add_to)

    def _candidates_here(self, am: Tensor, beams: Beams, add_to: Optional[AddTo]) -> Candidates:
        num, size = beams.score.shape
        log_probs, place = self._shared(am.numpy(), beams)
        if add_to is not None:
            every = torch.from_numpy(log_probs.take(place, axis=0).reshape(num, size, -1))
            return Candidates(add_to(every) + beams.score.unsqueeze(2), None)
        # None of the best of all is outside of the best of its prefix.
        best = _best_units(log_probs, min(size, log_probs.shape[1]))
        scores, units = (part.take(place, axis=0).reshape(num, size, -1) for part in best)
        scores += beams.score.numpy()[:, :, None]
        return Candidates(torch.from_numpy(scores), torch.from_numpy(units))

    def _candidates_afar(self, am: Tensor, beams: Beams, add_to: Optional[AddTo]) -> Candidates:
        contexts, before = beams.prefix[..., :-2], beams.score.unsqueeze(2)
        predicted = self._predictions.of(contexts.flatten(0, 1)).view(*contexts.shape[:2], -1)
        logits = self._model.joiner(am.unsqueeze(1), predicted, project_input=False)
        log_probs = self._config.log_probs(logits, self._model)
        if add_to is not None:
            return Candidates(add_to(log_probs) + before, None)
        best = log_probs.topk(min(before.size(1), log_probs.size(2)), dim=2)
        return Candidates(best.values + before, best.indices)

    @functools.cached_property
    def _predictions(self) -> Predictions:
        return Predictions(self._model)

    @functools.cached_property
    def _kept(self) -> KeptPredictions:
        return KeptPredictions(self._model)

    def _shared(self, am: np.ndarray, beams: Beams) -> Tuple[np.ndarray, np.ndarray]:
        """Log-probabilities (M, V) of different contexts, and which of them each prefix (N x K,) has."""
        num, size = beams.score.shape
        prefixes = beams.prefix.numpy().reshape(num * size, -1)
        keys = prefixes[:, :-2] @ self._key_weights
        first = first_slots(keys.reshape(num, size))
        is_first = (first == np.arange(size)).ravel()
        slots = is_first.nonzero()[0]
        place = (is_first.cumsum() - 1).take((first + np.arange(0, num * size, size)[:, None]).ravel())
        rows = self._kept.places(keys.take(slots).tolist(), prefixes.take(slots, axis=0)[:, :-2])
        logits = torch.from_numpy(self._joined(am, slots // size, rows))
        return self._config.log_probs(logits, self._model).numpy(), place

    def _joined(self, am: np.ndarray, utterances: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Logits (M, V) of am[utterances] with the predictions `rows`, valid until the next call.

        In memory that is used again.
        """
        num, joiner = len(rows), self._model.joiner
        if len(self._logits) < num:
            self._sums = np.empty((2, 2 * num, am.shape[1]), np.float32)
            self._logits = np.empty((2 * num, joiner.output_linear.out_features), np.float32)
        (sums, other), logits = self._sums[:, :num], self._logits[:num]
        # With this mode numpy writes where it is told to; all indexes are inside.
        self._kept.rows.take(rows, axis=0, out=sums, mode="clip")
        sums += am.take(utterances, axis=0, out=other, mode="clip")
        joiner.logits_of_sums(sums, logits)
        return logits
