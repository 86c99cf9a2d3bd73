"""Modified beam search of a transducer: at most one label a frame, equal prefixes merged, a whole batch at once."""

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
from icefall_discrete.decoding.prediction import Predictions, answers_at_once
from icefall_discrete.decoding.scorer import Scorer, SlotScores
from icefall_discrete.decoding.traces import Order, Traces
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.nn.heads.contract import LabelModel, TransducerModel

# The best units of a row are found one after the other up to so many, where there are so many rows for each of them.
_MOST_ROUNDS = 8
_ROWS_A_ROUND = 8


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


def _best_units(log_probs: Tensor, num: int) -> Tuple[Tensor, Tensor]:
    """The `num` best of each row of log_probs (M, V), which may be overwritten, and their units (M, num), best first.

    Where few are asked for of many rows, numpy finds one after the other in half the time.
    """
    rows = len(log_probs)
    if not answers_at_once(log_probs.device) or num > _MOST_ROUNDS or rows < _ROWS_A_ROUND * num:
        best = log_probs.topk(num, dim=1)
        return best.values, best.indices
    every, firsts = log_probs.numpy(), np.arange(0, log_probs.numel(), log_probs.size(1))
    scores, units = np.empty((rows, num), every.dtype), np.empty((rows, num), np.int64)
    for place in range(num):
        units[:, place] = every.argmax(axis=1)
        found = units[:, place] + firsts
        scores[:, place] = every.take(found)
        every.reshape(-1)[found] = -np.inf
    return torch.from_numpy(scores), torch.from_numpy(units)


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
        self._hidden, self._logits = torch.empty(2, 0, 0), torch.empty(0, 0)
        self._key_weights = np.array([pow(HASH_MULTIPLIER, n, 2**62) for n in range(model.predictor.context_size)])

    def candidates(self, am: Tensor, beams: Beams, add_to: Optional[Callable[[Tensor], Tensor]]) -> Candidates:
        """The units that may be among the best ones of the next frame, projected encoder output am (N, D).

        Args:
          add_to: makes log-probabilities (N, K, V) scores of units; None: they are.
        """
        (num, size), before = beams.score.shape, beams.score.unsqueeze(2)
        here = answers_at_once(am.device) and am.dtype == torch.float32
        log_probs, place = self._shared(am, beams) if here else self._apart(am, beams)
        if add_to is not None:
            every = log_probs if place is None else log_probs.index_select(0, place)
            return Candidates(add_to(every.view(num, size, -1)) + before, None)
        # None of the best of all is outside of the best of its prefix.
        best = _best_units(log_probs, min(size, log_probs.size(1)))
        scores, units = (part if place is None else part.index_select(0, place) for part in best)
        return Candidates(scores.view(num, size, -1) + before, units.view(num, size, -1))

    def _apart(self, am: Tensor, beams: Beams) -> Tuple[Tensor, None]:
        """Log-probabilities (N x K, V)."""
        contexts = beams.prefix[..., :-2]
        predicted = self._predictions.of(contexts.flatten(0, 1)).view(*contexts.shape[:2], -1)
        logits = self._model.joiner(am.unsqueeze(1), predicted, project_input=False)
        return self._config.log_probs(logits, self._model).flatten(0, 1), None

    def _shared(self, am: Tensor, beams: Beams) -> Tuple[Tensor, Tensor]:
        """Log-probabilities (M, V) of different contexts, and which of them each prefix (N x K,) has."""
        num, size = beams.score.shape
        prefixes = beams.prefix.flatten(0, 1).numpy()
        keys = prefixes[:, :-2] @ self._key_weights
        first = first_slots(keys.reshape(num, size))
        slots = (first == np.arange(size)).ravel().nonzero()[0]
        place_of = np.empty(num * size, dtype=np.int64)
        place_of[slots] = np.arange(len(slots))
        places = place_of.take((first + np.arange(0, num * size, size)[:, None]).ravel())
        rows = self._predictions.known(keys.take(slots).tolist(), prefixes.take(slots, axis=0)[:, :-2])
        return self._config.log_probs(self._joined(am, slots // size, rows), self._model), torch.from_numpy(places)

    def _joined(self, am: Tensor, utterances: np.ndarray, rows: np.ndarray) -> Tensor:
        """Logits (M, V) of am[utterances] with the predictions `rows`, valid until the next call.

        In memory that is used again.
        """
        num, joiner = len(rows), self._model.joiner
        if self._hidden.size(1) < num:
            self._hidden = am.new_empty(2, 2 * num, am.size(1))
            self._logits = am.new_empty(2 * num, joiner.output_linear.out_features)
        hidden, other = self._hidden[:, :num].numpy()
        # With this mode numpy writes where it is told to; all indexes are inside.
        self._predictions.kept.numpy().take(rows, axis=0, out=hidden, mode="clip")
        hidden += am.numpy().take(utterances, axis=0, out=other, mode="clip")
        return joiner.logits_of_sums(hidden, self._logits[:num])
