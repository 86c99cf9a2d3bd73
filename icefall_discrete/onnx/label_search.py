"""The search that goes from label to label, in numpy; as decoding/label_beam.py, for one utterance.

Letters: T' encoder frames, V units, M prefixes, U labels, L labels that are looked at.
"""

import dataclasses
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from icefall_discrete.decoding.joint_settings import HOPELESS, LAST_LENGTHS, PRE_BEAM, LabelSearchConfig
from icefall_discrete.onnx.searches import Found, best_places
from icefall_discrete.text.pieces import BLANK_ID, SOS_EOS_ID, UNK_ID

_NEVER = np.float32(-np.inf)
# Prefixes (M, U) int64 of equally many labels to log-probabilities (M, U + 1, V) of each label and of what follows.
Decoder = Callable[[np.ndarray], np.ndarray]


def attention_scores(decoder: Decoder, sentences: List[List[int]]) -> List[float]:
    """Log-probability of each sentence (labels), its end included, in nats; the network is run once."""
    longest = max(map(len, sentences))
    padded = np.array([[*labels, *[BLANK_ID] * (longest - len(labels))] for labels in sentences], dtype=np.int64)
    log_probs = decoder(padded.reshape(len(sentences), longest))
    return [
        float(row[np.arange(len(labels) + 1), [*labels, SOS_EOS_ID]].sum()) for row, labels in zip(log_probs, sentences)
    ]


def rescored(decoder: Decoder, found: List[Found], scale: float) -> List[Found]:
    """Hypotheses with `scale` times the decoder's log-probability added to their scores, best first."""
    scores = attention_scores(decoder, [one.labels for one in found])
    sums = [Found(one.labels, one.score + scale * score) for one, score in zip(found, scores)]
    return sorted(sums, key=lambda one: -one.score)


class _Prefixes(NamedTuple):
    """M prefixes; column t of T' + 1 tells of the alignments that have used t frames."""

    labels: np.ndarray  # (M, U)
    score: np.ndarray  # (M,) nats, without the CTC head's
    ends_label: np.ndarray  # (M, T' + 1) nats of the alignments that end in the last label
    ends_blank: np.ndarray  # (M, T' + 1) nats of those that end in blank

    def before(self, labels: np.ndarray) -> np.ndarray:
        """Nats (M, L, T') of the alignments after which each of labels (M, L) may come."""
        last = self.labels[:, -1:] if self.labels.shape[1] else np.full((len(self.labels), 1), BLANK_ID)
        again = (labels == last)[:, :, None]
        either = np.logaddexp(self.ends_label, self.ends_blank)
        return np.where(again, self.ends_blank[:, None, :-1], either[:, None, :-1])


def _carried(begun: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """y (M, T') with y_t = logaddexp(y_{t-1} + stays_t, begun_t), in doubling steps."""
    shift = 1
    while shift < begun.shape[1]:
        longer = np.logaddexp(begun[:, shift:], begun[:, :-shift] + stays[:, shift:])
        begun = np.concatenate([begun[:, :shift], longer], axis=1)
        stays = np.concatenate([stays[:, :shift], stays[:, shift:] + stays[:, :-shift]], axis=1)
        shift *= 2
    return begun


@dataclasses.dataclass
class LabelSearch:
    """Finds what the attention decoder and the CTC head like best together.

    num_frames: T'. log_probs: (T', V) of the CTC head; None where it has no weight. decoder: None where CTC has all the
    weight. beam_size: prefixes that are followed. nbest: hypotheses that are wanted. config: weight, bonus, lengths.
    emit_unk: whether `<unk>` may be found.
    """

    num_frames: int
    log_probs: Optional[np.ndarray]
    decoder: Optional[Decoder]
    beam_size: int
    nbest: int
    config: LabelSearchConfig
    emit_unk: bool = False

    def __post_init__(self) -> None:
        self._weight = self.config.ctc_weight if self.decoder is not None else 1.0
        self._ended: List[Found] = []
        self._best_of_length: Dict[int, float] = {}

    def search(self) -> List[Found]:
        """Up to `nbest` hypotheses, best first; an empty one where nothing was found."""
        prefixes: Optional[_Prefixes] = self._start()
        while prefixes is not None:
            prefixes = self._advance(prefixes)
        return sorted(self._ended, key=lambda one: -one.score)[: self.nbest] or [Found([], 0.0)]

    def _start(self) -> Optional[_Prefixes]:
        if not self.num_frames:
            return None
        blanks = np.zeros(0, np.float32) if self.log_probs is None else self.log_probs[:, BLANK_ID]
        ends_blank = np.concatenate([np.zeros(1, np.float32), blanks.cumsum()])[None]
        return _Prefixes(
            np.zeros((1, 0), np.int64), np.zeros(1, np.float32), np.full_like(ends_blank, _NEVER), ends_blank
        )

    def _asked(self, prefixes: _Prefixes) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels (M, L) that are looked at, their scores (M, L) and that of the end (M,), without the CTC head's."""
        if self.decoder is not None and self._weight < 1.0:
            ahead = np.float32(1.0 - self._weight) * self.decoder(prefixes.labels)[:, -1]
        else:
            assert self.log_probs is not None
            ahead = np.zeros((len(prefixes.labels), self.log_probs.shape[1]), np.float32)
        end = prefixes.score + ahead[:, SOS_EOS_ID]
        ahead = ahead + np.float32(self.config.length_bonus)
        ahead[:, [BLANK_ID, SOS_EOS_ID, *([] if self.emit_unk else [UNK_ID])]] = _NEVER
        num = int(PRE_BEAM * self.beam_size)
        if self._weight < 1.0 and num < ahead.shape[1]:
            labels = np.argsort(-ahead, axis=1, kind="stable")[:, :num]
        else:
            labels = np.broadcast_to(np.arange(ahead.shape[1]), ahead.shape)
        return labels, prefixes.score[:, None] + np.take_along_axis(ahead, labels, axis=1), end

    def _totals(self, prefixes: _Prefixes, labels: np.ndarray, scores: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Scores (M, L + 1) of each label, and of the end, with the CTC head's; -inf where it may not follow."""
        totals = scores
        if self.log_probs is not None and self._weight > 0.0:
            following = np.logaddexp.reduce(prefixes.before(labels) + self.log_probs.T[labels], axis=2)
            totals = scores + np.float32(self._weight) * np.where(labels == BLANK_ID, _NEVER, following)
            ended = np.logaddexp(prefixes.ends_label[:, -1], prefixes.ends_blank[:, -1])
            end = end + np.float32(self._weight) * ended
        length = prefixes.labels.shape[1]
        if max(1, int((self.config.maxlenratio or 1.0) * self.num_frames)) <= length:
            totals = np.full_like(totals, _NEVER)
        # Where no label can follow, it ends though it has fewer labels than were asked for.
        if int(self.config.minlenratio * self.num_frames) > length and (totals > _NEVER).any():
            end = np.full_like(end, _NEVER)
        return np.concatenate([totals, end[:, None]], axis=1)

    def _advance(self, prefixes: _Prefixes) -> Optional[_Prefixes]:
        """Follow the best candidates; those that end are noted. None where nothing is left."""
        labels, scores, end = self._asked(prefixes)
        totals = self._totals(prefixes, labels, scores, end)
        best, length = best_places(totals, self.beam_size), prefixes.labels.shape[1]
        for row, choice in best:
            if choice == labels.shape[1]:
                self._ended.append(Found(prefixes.labels[row].tolist(), float(totals[row, choice])))
                before = self._best_of_length.get(length, -np.inf)
                self._best_of_length[length] = max(before, self._ended[-1].score)
        if self._is_over(length):
            return None
        least = self._to_beat()
        kept = [place for place in best if place[1] < labels.shape[1] and totals[place] > least]
        if not kept:
            return None
        rows = np.array([row for row, _ in kept])
        places = tuple(np.array(kept).T)
        return self._followed(prefixes, rows, labels[places], scores[places])

    def _followed(self, prefixes: _Prefixes, rows: np.ndarray, units: np.ndarray, scores: np.ndarray) -> _Prefixes:
        """The prefixes `rows` (M',) with units (M',) appended."""
        parents = _Prefixes(*(values[rows] for values in prefixes))
        ends_label, ends_blank = parents.ends_label, parents.ends_blank
        if self.log_probs is not None:
            emitted, blanks = self.log_probs.T[units], self.log_probs[:, BLANK_ID]
            never = np.full((len(rows), 1), _NEVER)
            begun = parents.before(units[:, None])[:, 0] + emitted
            ends_label = np.concatenate([never, _carried(begun, emitted)], axis=1)
            blanks = np.broadcast_to(blanks, emitted.shape)
            ends_blank = np.concatenate([never, _carried(ends_label[:, :-1] + blanks, blanks)], axis=1)
        return _Prefixes(np.concatenate([parents.labels, units[:, None]], axis=1), scores, ends_label, ends_blank)

    def _to_beat(self) -> float:
        """The score that a prefix must be above: where none rises, that of the last hypothesis that is wanted."""
        if self.config.length_bonus > 0 or len(self._ended) < self.nbest:
            return -np.inf
        return sorted((one.score for one in self._ended), reverse=True)[self.nbest - 1]

    def _is_over(self, length: int) -> bool:
        """Whether the best hypotheses of the last lengths are so bad that longer ones will be too."""
        if self.config.maxlenratio > 0 or not self._ended:
            return False
        best = max(self._best_of_length.values())
        last = [self._best_of_length.get(length - back) for back in range(LAST_LENGTHS)]
        return all(score is not None and score - best < HOPELESS for score in last)
