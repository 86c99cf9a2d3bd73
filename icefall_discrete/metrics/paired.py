"""Two systems that answered the same utterances: how far apart they are, and how far that is chance.

What is hard for one system is mostly hard for another, so that the interval of a difference of two figures is narrower
than their own intervals say. Utterances are drawn together for both, as in Bisani and Ney, "Bootstrap estimates for
confidence intervals in ASR performance evaluation", ICASSP 2004, section 4, and in Kaldi's compute-wer-bootci.

A result keeps, of each set, what was counted in each utterance, in the order of the names of the cuts:
`{"cuts": digest of the names, "wer": {"counted": "0 2 1", "of": "4 9 3"}, ...}`, whose figure is 100 * sum of `counted`
/ sum of `of`, in percent.
"""

import hashlib
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from icefall_discrete.metrics.bootstrap import bootstrap_figures

UTTERANCES = "utterances"
# More would make a result a file of many hundred kilobytes, for an interval that is narrow without pairs.
MOST_UTTERANCES = 20000

Json = Dict[str, Any]
Counts = Mapping[str, Tuple[int, int]]


class Difference(NamedTuple):
    """Second figure less first, in percent: `low` to `high` is its 95 % interval.

    lower: part of the drawings in which the second figure is the lower one; one that is equal counts half.
    """

    low: float
    high: float
    lower: float

    @property
    def half_width(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


def utterance_counts(by_metric: Mapping[str, Counts]) -> Json:
    """What a result keeps of a set; nothing of one of more than MOST_UTTERANCES.

    Args:
      by_metric: of each metric, (counted, of) by the name of the cut; the same cuts for all.
    """
    names = sorted(next(iter(by_metric.values())))
    if len(names) > MOST_UTTERANCES:
        return {}
    kept: Json = {"cuts": hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]}
    for metric, counts in by_metric.items():
        columns = zip(*(counts[name] for name in names))
        kept[metric] = dict(zip(("counted", "of"), (" ".join(map(str, column)) for column in columns)))
    return {UTTERANCES: kept}


def require_utterance_counts(scored: Json, what: str) -> None:
    """Raise ValueError, a part of a sentence, if what the scores of a set keep of utterances is not of that form."""
    for metric, columns in (scored.get(UTTERANCES) or {}).items():
        if metric != "cuts" and _columns(scored, metric) is None:
            raise ValueError(
                f"'{metric}' of '{UTTERANCES}' of {what} is {str(columns)[:60]!r}, expected whole numbers as text, "
                "as many in 'counted' as in 'of'"
            )


def paired_difference(first: Json, second: Json, metric: str, replications: int = 1000) -> Optional[Difference]:
    """The difference of a metric between the scores of a set by two systems.

    None if they do not keep what they counted, or not of the same utterances with the same references.
    """
    one, other = _columns(first, metric), _columns(second, metric)
    if one is None or other is None or first[UTTERANCES].get("cuts") != second[UTTERANCES].get("cuts"):
        return None
    (counted, of), (counted_again, of_again) = one, other
    if not np.array_equal(of, of_again) or not of.sum():
        return None

    def change(drawn: np.ndarray) -> float:
        total = of[drawn].sum()
        return 100.0 * (counted_again[drawn] - counted[drawn]).sum() / total if total else float("nan")

    changes = bootstrap_figures(len(of), change, replications)
    half_width, middle = 1.96 * changes.std(), changes.mean()
    lower = float((changes < 0).mean() + (changes == 0).mean() / 2)
    return Difference(float(middle - half_width), float(middle + half_width), lower)


def _columns(scored: Json, metric: str) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """What was counted of each utterance, and of how many, (N,) each; None if that is not there in this form."""
    kept = (scored.get(UTTERANCES) or {}).get(metric)
    texts = [kept.get(name) for name in ("counted", "of")] if isinstance(kept, Mapping) else []
    numbers = [text.split() for text in texts if isinstance(text, str)]
    if len(numbers) < 2 or len(numbers[0]) != len(numbers[1]):
        return None
    if not all(number.isdecimal() for column in numbers for number in column):
        return None
    counted, of = (np.array(column, dtype=np.float64) for column in numbers)
    return counted, of
