"""Greedy and modified beam search of a transducer, and CTC's best path, in numpy; as those of decoding/.

Letters: T' encoder frames, J dimension of the joiner, V units, K prefixes, C labels of context.
"""

import dataclasses
from typing import Callable, Dict, List, Tuple

import numpy as np

BLANK_ID, UNK_ID = 0, 2
# Labels before the first one: nothing at all, then the blank.
_NOTHING = -1


@dataclasses.dataclass(frozen=True)
class Heads:
    """What a search asks of a transducer.

    predictor: contexts (K, C) int64 to (K, J). joiner: two (K, J) to logits (K, V). blank_penalty: taken off blank's.
    """

    predictor: Callable[[np.ndarray], np.ndarray]
    joiner: Callable[[np.ndarray, np.ndarray], np.ndarray]
    context_size: int
    blank_penalty: float = 0.0

    def log_probs(self, am: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Log-probabilities (K, V) of what follows predictions (K, J) on a frame (J,)."""
        return unit_log_probs(self.joiner(np.repeat(am[None], len(predicted), axis=0), predicted), self.blank_penalty)

    def start(self) -> Tuple[int, ...]:
        """The context before the first label."""
        return (_NOTHING,) * (self.context_size - 1) + (BLANK_ID,)

    def predict(self, prefixes: List[Tuple[int, ...]]) -> np.ndarray:
        """Predictions (K, J) for prefixes with their first context."""
        return self.predictor(np.array([prefix[-self.context_size :] for prefix in prefixes], dtype=np.int64))


def unit_log_probs(logits: np.ndarray, blank_penalty: float = 0.0) -> np.ndarray:
    """Log-probabilities (..., V) of logits (..., V); `<unk>` is never found."""
    logits = logits.copy()
    logits[..., BLANK_ID] -= blank_penalty
    top = logits.max(axis=-1, keepdims=True)
    log_probs = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    log_probs[..., UNK_ID] = -np.inf
    return log_probs


def greedy_search(heads: Heads, encoder_out: np.ndarray) -> List[int]:
    """The labels of the best unit of each frame of encoder_out (T', J)."""
    prefix = heads.start()
    predicted = heads.predict([prefix])
    for am in encoder_out:
        unit = int(heads.log_probs(am, predicted)[0].argmax())
        if unit != BLANK_ID:
            prefix = (*prefix, unit)
            predicted = heads.predict([prefix])
    return list(prefix[heads.context_size :])


def modified_beam_search(heads: Heads, encoder_out: np.ndarray, beam_size: int) -> List[int]:
    """The labels of the best of `beam_size` prefixes, by score over length; at most one label a frame."""
    scores: Dict[Tuple[int, ...], float] = {heads.start(): 0.0}
    known: Dict[Tuple[int, ...], np.ndarray] = {}
    for am in encoder_out:
        prefixes = list(scores)
        new = [prefix for prefix in prefixes if prefix[-heads.context_size :] not in known]
        if new:
            known.update(zip((prefix[-heads.context_size :] for prefix in new), heads.predict(new)))
        predicted = np.stack([known[prefix[-heads.context_size :]] for prefix in prefixes])
        total = heads.log_probs(am, predicted) + np.array(list(scores.values()), dtype=np.float32)[:, None]
        best = np.argsort(-total, axis=None, kind="stable")[:beam_size]
        scores = {}
        for place in best.tolist():
            row, unit = divmod(place, total.shape[1])
            prefix = prefixes[row] if unit == BLANK_ID else (*prefixes[row], unit)
            score = float(total[row, unit])
            scores[prefix] = float(np.logaddexp(scores[prefix], score)) if prefix in scores else score
    winner = max(scores, key=lambda prefix: scores[prefix] / len(prefix))
    return list(winner[heads.context_size :])


def ctc_greedy_search(log_probs: np.ndarray, blank_penalty: float = 0.0) -> List[int]:
    """The labels of the best path through log_probs (T', V)."""
    units = unit_log_probs(log_probs, blank_penalty).argmax(axis=1).tolist()
    return [unit for before, unit in zip([BLANK_ID, *units], units) if unit not in (BLANK_ID, before)]
