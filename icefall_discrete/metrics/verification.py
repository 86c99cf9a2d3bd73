"""Verification: are two utterances of the same speaker? Equal error rate, and the least cost of a decision."""

from typing import Dict, NamedTuple, Sequence, Tuple

import numpy as np

from icefall_discrete.metrics.bootstrap import bootstrap_interval
from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "`EER` is the percentage of errors at the threshold where as large a part of the pairs that belong together is "
    "refused as of the others is accepted; `minDCF` the least cost of a decision, 1 being that of deciding unheard. "
    "Their intervals come from drawing pairs of speakers, each with all its trials."
)
METRICS = (
    Metric("eer", "EER", "error rate", _LEGEND),
    Metric("min_dcf", "minDCF", "cost", _LEGEND, unit="", decimals=3),
)
TARGET_PRIOR = 0.01  # of minDCF, as papers on speaker verification have it


class DecisionErrors(NamedTuple):
    """What decisions cost at each threshold, from the lowest to the highest; each array (M,).

    A pair is accepted if its score is at least the threshold. thresholds: every score that occurs, and infinity.
    misses: part of the pairs that belong together which is refused. false_alarms: part of the others accepted.
    """

    thresholds: np.ndarray
    misses: np.ndarray
    false_alarms: np.ndarray


def decision_errors(scores: Sequence[float], together: Sequence[bool]) -> DecisionErrors:
    """Errors at every threshold that decides in another way.

    Args:
      scores: of pairs, higher for those that are more alike. together: which of them belong together.
    Raises:
      ValueError: if there is no pair of one of the two sorts, a score is not finite, or the lengths differ.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(together, dtype=bool)
    if values.shape != truth.shape:
        raise ValueError(f"{len(values)} scores for {len(truth)} pairs; each pair needs one score.")
    if not truth.any() or truth.all():
        sort = "that belong together" if not truth.any() else "that do not belong together"
        raise ValueError(f"among {len(truth)} pairs there are none {sort}; verification needs pairs of both sorts.")
    if not np.isfinite(values).all():
        raise ValueError(f"score {values[~np.isfinite(values)][0]} is not finite; look at the embeddings.")
    same, other = np.sort(values[truth]), np.sort(values[~truth])
    thresholds = np.append(np.unique(values), np.inf)
    misses = np.searchsorted(same, thresholds, side="left") / len(same)
    false_alarms = 1.0 - np.searchsorted(other, thresholds, side="left") / len(other)
    return DecisionErrors(thresholds, misses, false_alarms)


def equal_error_rate(scores: Sequence[float], together: Sequence[bool]) -> float:
    """Equal error rate in percent; between two thresholds errors are taken to change evenly. See decision_errors."""
    return _equal_error_rate(decision_errors(scores, together))


def _equal_error_rate(errors: DecisionErrors) -> float:
    _, misses, false_alarms = errors
    after = int(np.argmax(misses >= false_alarms))  # at the highest threshold all are refused, so that there is one
    if after == 0:
        return float(100.0 * (misses[0] + false_alarms[0]) / 2)
    gap_before, gap = false_alarms[after - 1] - misses[after - 1], misses[after] - false_alarms[after]
    part = gap_before / (gap_before + gap)
    return float(100.0 * (misses[after - 1] + part * (misses[after] - misses[after - 1])))


def least_cost(
    scores: Sequence[float],
    together: Sequence[bool],
    target_prior: float = TARGET_PRIOR,
    miss_cost: float = 1.0,
    false_alarm_cost: float = 1.0,
) -> Tuple[float, float]:
    """The least detection cost, divided by that of the better of accepting and refusing all, and its threshold.

    Section 3.1 of the evaluation plan of NIST's SRE 2016. SpeechBrain's minDCF is not divided: ours times
    min(miss_cost * target_prior, false_alarm_cost * (1 - target_prior)). Other arguments: see decision_errors.
    """
    return _least_cost(decision_errors(scores, together), target_prior, miss_cost, false_alarm_cost)


def _least_cost(
    errors: DecisionErrors, target_prior: float = TARGET_PRIOR, miss_cost: float = 1.0, false_alarm_cost: float = 1.0
) -> Tuple[float, float]:
    miss, false_alarm = miss_cost * target_prior, false_alarm_cost * (1.0 - target_prior)
    costs = miss * errors.misses + false_alarm * errors.false_alarms
    best = int(np.argmin(costs))
    return float(costs[best] / min(miss, false_alarm)), float(errors.thresholds[best])


def verification_intervals(
    scores: Sequence[float], together: Sequence[bool], groups: Sequence[str]
) -> Dict[str, Tuple[float, float]]:
    """95 % intervals, (low, high), of "eer" in percent and of "min_dcf", over groups of pairs (bootstrap.py).

    Args:
      groups: of each pair, such as whose two voices it compares: trials of the same two are no independent ones, so
        that they are drawn together. scores, together: as for decision_errors.
    """
    thresholds = decision_errors(scores, together).thresholds
    level = np.searchsorted(thresholds, np.asarray(scores, dtype=np.float64))
    truth = np.asarray(together, dtype=bool)
    names, group = np.unique(np.asarray(groups), return_inverse=True)

    def errors_of(drawn: np.ndarray) -> DecisionErrors:
        """Of groups that were drawn, each as often as that."""
        times = np.bincount(drawn, minlength=len(names))[group].astype(np.float64)
        below = [
            np.cumsum(np.bincount(level[of] + 1, weights=times[of], minlength=len(thresholds) + 1))[:-1]
            for of in (truth, ~truth)
        ]
        with np.errstate(invalid="ignore"):  # where one sort of pairs was not drawn, there is no figure
            misses, refused = (part / times[of].sum() for part, of in zip(below, (truth, ~truth)))
        return DecisionErrors(thresholds, misses, 1.0 - refused)

    return {
        "eer": bootstrap_interval(len(names), lambda drawn: _equal_error_rate(errors_of(drawn))),
        "min_dcf": bootstrap_interval(len(names), lambda drawn: _least_cost(errors_of(drawn))[0]),
    }
