"""Greedy and modified beam search of a transducer, CTC's best path and prefixes, in numpy; as those of decoding/.

Letters: T' encoder frames, J dimension of the joiner, V units, K prefixes, C labels of context.
"""

import dataclasses
from typing import Callable, Dict, List, NamedTuple, Tuple

import numpy as np

from icefall_discrete.text.pieces import BLANK_ID, UNK_ID

# Labels before the first one: nothing at all, then the blank.
_NOTHING = -1


class Found(NamedTuple):
    """What a search finds: labels, and their log-probability in nats."""

    labels: List[int]
    score: float


@dataclasses.dataclass(frozen=True)
class UnitScores:
    """From logits to log-probabilities of units; as decoding/unit_scores.py.

    blank_penalty: taken off the logit of blank. temperature: divides the logits. emit_unk: whether `<unk>` may
    be found.
    """

    blank_penalty: float = 0.0
    temperature: float = 1.0
    emit_unk: bool = False

    def of(self, logits: np.ndarray) -> np.ndarray:
        """Log-probabilities (..., V) of logits (..., V)."""
        logits = logits.copy()
        logits[..., BLANK_ID] -= self.blank_penalty
        logits /= self.temperature
        top = logits.max(axis=-1, keepdims=True)
        log_probs: np.ndarray = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
        if not self.emit_unk:
            log_probs[..., UNK_ID] = -np.inf
        return log_probs


@dataclasses.dataclass(frozen=True)
class Heads:
    """What a search asks of a transducer.

    predictor: contexts (K, C) int64 to (K, J). joiner: two (K, J) to logits (K, V).
    """

    predictor: Callable[[np.ndarray], np.ndarray]
    joiner: Callable[[np.ndarray, np.ndarray], np.ndarray]
    context_size: int
    units: UnitScores

    def log_probs(self, am: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Log-probabilities (K, V) of what follows predictions (K, J) on a frame (J,)."""
        return self.units.of(self.joiner(np.repeat(am[None], len(predicted), axis=0), predicted))

    def start(self) -> Tuple[int, ...]:
        """The context before the first label."""
        return (_NOTHING,) * (self.context_size - 1) + (BLANK_ID,)

    def predict(self, prefixes: List[Tuple[int, ...]]) -> np.ndarray:
        """Predictions (K, J) for prefixes with their first context."""
        return self.predictor(np.array([prefix[-self.context_size :] for prefix in prefixes], dtype=np.int64))


NOTHING = Found([], 0.0)


def greedy_search(heads: Heads, encoder_out: np.ndarray, max_sym_per_frame: int = 1, begun: Found = NOTHING) -> Found:
    """The labels of the best units of each frame of encoder_out (T', J); at most `max_sym_per_frame` a frame.

    begun: what was found in the frames before.
    """
    prefix, score = (*heads.start(), *begun.labels), np.float32(begun.score)
    predicted = heads.predict([prefix])
    for am in encoder_out:
        for _ in range(max_sym_per_frame):
            log_probs = heads.log_probs(am, predicted)[0]
            unit = int(log_probs.argmax())
            score += log_probs[unit]
            if unit == BLANK_ID:
                break
            prefix = (*prefix, unit)
            predicted = heads.predict([prefix])
    return Found(list(prefix[heads.context_size :]), float(score))


# Log-probabilities, in nats, of prefixes of labels with their first context.
Beam = Dict[Tuple[int, ...], float]


def modified_beam_search(heads: Heads, encoder_out: np.ndarray, beam_size: int) -> List[Found]:
    """The `beam_size` prefixes that are left, best score over length first; at most one label a frame."""
    return ranked(heads, extended({heads.start(): 0.0}, heads, encoder_out, beam_size))


def extended(scores: Beam, heads: Heads, encoder_out: np.ndarray, beam_size: int) -> Beam:
    """The `beam_size` best prefixes after the frames of encoder_out (T', J), from those before them."""
    known: Dict[Tuple[int, ...], np.ndarray] = {}
    for am in encoder_out:
        prefixes = list(scores)
        new = [prefix for prefix in prefixes if prefix[-heads.context_size :] not in known]
        if new:
            known.update(zip((prefix[-heads.context_size :] for prefix in new), heads.predict(new)))
        predicted = np.stack([known[prefix[-heads.context_size :]] for prefix in prefixes])
        total = heads.log_probs(am, predicted) + np.array(list(scores.values()), dtype=np.float32)[:, None]
        scores = {}
        for row, unit in best_places(total, beam_size):
            prefix = prefixes[row] if unit == BLANK_ID else (*prefixes[row], unit)
            score = float(total[row, unit])
            scores[prefix] = float(np.logaddexp(scores[prefix], score)) if prefix in scores else score
    return scores


def ranked(heads: Heads, scores: Beam) -> List[Found]:
    """Prefixes, best score over length first."""
    best_first = sorted(scores, key=lambda prefix: -scores[prefix] / len(prefix))
    return [Found(list(prefix[heads.context_size :]), scores[prefix]) for prefix in best_first]


def best_places(scores: np.ndarray, num: int) -> List[Tuple[int, int]]:
    """Row and column of the `num` best of scores (K, V), best first; never those of -inf."""
    best = np.argsort(-scores, axis=None, kind="stable")[:num]
    rows, columns = np.unravel_index(best[scores.flat[best] > -np.inf], scores.shape)
    return list(zip(rows.tolist(), columns.tolist()))


def ctc_greedy_search(log_probs: np.ndarray) -> Found:
    """The labels of the best path through log_probs (T', V)."""
    return Found(without_blanks(log_probs.argmax(axis=1).tolist()), float(log_probs.max(axis=1).sum()))


def without_blanks(units: List[int]) -> List[int]:
    """Labels of the units of a path."""
    return [unit for before, unit in zip([BLANK_ID, *units], units) if unit not in (BLANK_ID, before)]


def ctc_prefix_beam_search(log_probs: np.ndarray, beam_size: int) -> List[Found]:
    """The `beam_size` best prefixes of log_probs (T', V), best first, by the sum of all their alignments."""
    prefixes: List[Tuple[int, ...]] = [()]
    ends_blank, ends_label = np.zeros(1, np.float32), np.full(1, -np.inf, np.float32)
    for frame in log_probs:
        last = np.array([prefix[-1] if prefix else BLANK_ID for prefix in prefixes])
        either = np.logaddexp(ends_blank, ends_label)
        longer = either[:, None] + frame
        longer[np.arange(len(last)), last] = ends_blank + frame[last]  # the same label again needs a blank before
        label_stays = ends_label + frame[last]
        rows = {prefix: row for row, prefix in enumerate(prefixes)}
        for row, prefix in enumerate(prefixes):
            # What makes a prefix that is there already belongs to that one.
            if prefix and prefix[:-1] in rows:
                place = rows[prefix[:-1]], prefix[-1]
                label_stays[row] = np.logaddexp(label_stays[row], longer[place])
                longer[place] = -np.inf
        blank_stays = either + frame[BLANK_ID]
        longer[:, BLANK_ID] = np.logaddexp(blank_stays, label_stays)
        best = best_places(longer, beam_size)
        stays = np.array([unit == BLANK_ID for _, unit in best])
        parents = [row for row, _ in best]
        ends_blank = np.where(stays, blank_stays[parents], np.float32(-np.inf))
        ends_label = np.where(stays, label_stays[parents], longer[tuple(np.array(best).T)])
        prefixes = [prefixes[row] if unit == BLANK_ID else (*prefixes[row], unit) for row, unit in best]
    scores = np.logaddexp(ends_blank, ends_label)
    return [Found(list(prefixes[row]), float(scores[row])) for row in np.argsort(-scores, kind="stable")]
