"""Word and character error rates from Levenshtein alignments.

A character error rate here is over the characters of the text with the spaces left out, as icefall computes it
(`compute_CER`); tools that count the space as a character (jiwer, ESPnet with sclite) give slightly lower figures. A
character is a code point, as for all of these tools: a letter and a combining mark that no code point unites are two.
So that one text has one spelling, scoring compares both sides in Unicode's normal form C (`normal_form`). Of the
alignments with the fewest errors one is counted: only the sum of errors is the same in all of them, and in jiwer's.
"""

import dataclasses
import unicodedata
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import kaldialign
import numpy as np

from icefall_discrete.metrics.bootstrap import bootstrap_interval
from icefall_discrete.metrics.facts import Metric

_LEGEND = "Figures are word and character error rates in percent; a character error rate leaves spaces out."
METRICS = (
    Metric("wer", "WER", "error rate", _LEGEND),
    Metric("cer", "CER", "error rate", _LEGEND),
)
# A private symbol, so that a transcript may hold any word, "*" included.
_EPSILON = "\0"

Pair = Tuple[Optional[str], Optional[str]]


class Transcript(NamedTuple):
    """What was said and what was recognised in one cut, as words; `hyp` may be empty."""

    cut_id: str
    ref: Tuple[str, ...]
    hyp: Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ErrorCounts:
    """Counts of an alignment; they add up: the counts of a corpus are the sum over its utterances.

    num_ref: reference symbols (words or characters). insertions, deletions, substitutions: errors.
    """

    num_ref: int = 0
    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0

    @property
    def errors(self) -> int:
        """Insertions, deletions and substitutions together."""
        return self.insertions + self.deletions + self.substitutions

    @property
    def correct(self) -> int:
        """Reference symbols that were recognised."""
        return self.num_ref - self.deletions - self.substitutions

    @property
    def rate(self) -> float:
        """Error rate in percent; insertions can take it above 100.

        Raises:
          ValueError: if there is no reference symbol, where a rate has no meaning.
        """
        if self.known_rate is None:
            raise ValueError("an error rate needs at least one reference symbol, got none; is the text empty?")
        return self.known_rate

    @property
    def known_rate(self) -> Optional[float]:
        """Error rate in percent; None if there is no reference symbol."""
        return 100.0 * self.errors / self.num_ref if self.num_ref else None

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.num_ref + other.num_ref,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
        )


def normal_form(words: Sequence[str]) -> Tuple[str, ...]:
    """The words in Unicode's normal form C, in which letter and accent are one code point wherever there is one."""
    return tuple(unicodedata.normalize("NFC", word) for word in words)


def words_themselves(words: Sequence[str]) -> Sequence[str]:
    """The symbols of a word error rate: the words themselves."""
    return words


def characters_of(words: Sequence[str]) -> List[str]:
    """The symbols of a character error rate: the characters of the words, without spaces."""
    return list("".join(words))


def align(ref: Sequence[str], hyp: Sequence[str]) -> List[Pair]:
    """Align two sequences with the fewest errors; None stands for nothing (left: an insertion, right: a deletion)."""
    pairs = kaldialign.align(list(ref), list(hyp), _EPSILON)
    return [(None if r == _EPSILON else r, None if h == _EPSILON else h) for r, h in pairs]


def count_errors(ref: Sequence[str], hyp: Sequence[str]) -> ErrorCounts:
    """Count the errors of `hyp` against `ref`; both are sequences of symbols and both may be empty."""
    pairs = align(ref, hyp)
    return ErrorCounts(
        num_ref=len(ref),
        insertions=sum(r is None for r, _ in pairs),
        deletions=sum(h is None for _, h in pairs),
        substitutions=sum(r is not None and h is not None and r != h for r, h in pairs),
    )


def utterance_errors(
    transcripts: Iterable[Transcript], symbols_of: Callable[[Sequence[str]], Sequence[str]]
) -> Dict[str, ErrorCounts]:
    """Error counts of each cut, in the order given; `symbols_of` is `words_themselves` or `characters_of`."""
    return {t.cut_id: count_errors(symbols_of(t.ref), symbols_of(t.hyp)) for t in transcripts}


def total_errors(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """The counts of a corpus from the counts of its utterances."""
    return sum(counts, ErrorCounts())


def group_errors(counts: Dict[str, ErrorCounts], group_of: Dict[str, str]) -> Dict[str, ErrorCounts]:
    """Sum the counts of each group of cuts (its languages, say), sorted by group name.

    Args:
      counts: error counts by cut id.
      group_of: group by cut id.
    Raises:
      ValueError: if a cut has no group, naming it.
    """
    groups: Dict[str, ErrorCounts] = {}
    for cut_id, errors in counts.items():
        if cut_id not in group_of:
            raise ValueError(f"cut {cut_id} was decoded but has no group; were other cuts decoded than are scored?")
        group = group_of[cut_id]
        groups[group] = groups.get(group, ErrorCounts()) + errors
    return dict(sorted(groups.items()))


def confidence_interval(counts: Sequence[ErrorCounts], replications: int = 1000) -> Optional[Tuple[float, float]]:
    """95 % interval of the error rate in percent, (low, high), by drawing utterances (bootstrap.py).

    None if there is no reference symbol. Where few utterances have any, drawings without one do not count.
    """
    if not any(c.num_ref for c in counts):
        return None
    errors = np.array([c.errors for c in counts], dtype=np.float64)
    num_ref = np.array([c.num_ref for c in counts], dtype=np.float64)

    def rate(drawn: np.ndarray) -> float:
        total = num_ref[drawn].sum()
        return 100.0 * errors[drawn].sum() / total if total else float("nan")

    return bootstrap_interval(len(errors), rate, replications)
