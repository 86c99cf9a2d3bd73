"""Classes of utterances: how many are right, over all and in the mean of the classes, and what is taken for what."""

from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from icefall_discrete.metrics.bootstrap import bootstrap_interval
from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "Figures are percentages of utterances whose class is right: of all (accuracy), and the mean over the classes "
    "(balanced accuracy)."
)
METRICS = (
    Metric("accuracy", "accuracy", "accuracy", _LEGEND, higher_is_better=True),
    Metric("balanced_accuracy", "balanced accuracy", "accuracy", _LEGEND, higher_is_better=True),
)


def accuracy(pairs: Sequence[Tuple[str, Optional[str]]]) -> float:
    """Percentage of pairs (class, class that was predicted) that are equal; None predicts none.

    Raises:
      ValueError: if there is no pair.
    """
    if not pairs:
        raise ValueError("an accuracy needs at least one utterance, got none.")
    return 100.0 * sum(true == predicted for true, predicted in pairs) / len(pairs)


def balanced_accuracy(pairs: Sequence[Tuple[str, Optional[str]]]) -> float:
    """Mean over the classes that occur of their accuracy in percent, so that a rare class counts as much as another.

    Raises:
      ValueError: if there is no pair.
    """
    groups: Dict[str, List[Tuple[str, Optional[str]]]] = {}
    for pair in pairs:
        groups.setdefault(pair[0], []).append(pair)
    if not groups:
        raise ValueError("an accuracy needs at least one utterance, got none.")
    return sum(map(accuracy, groups.values())) / len(groups)


def accuracy_intervals(pairs: Sequence[Tuple[str, Optional[str]]]) -> Dict[str, Tuple[float, float]]:
    """95 % intervals in percent, (low, high), of "accuracy" and "balanced_accuracy" over utterances (bootstrap.py)."""
    names = sorted({true for true, _ in pairs})
    true = np.array([names.index(one) for one, _ in pairs])
    right = np.array([one == predicted for one, predicted in pairs], dtype=np.float64)

    def balanced(drawn: np.ndarray) -> float:
        num = np.bincount(true[drawn], minlength=len(names))
        correct = np.bincount(true[drawn], weights=right[drawn], minlength=len(names))
        return 100.0 * (correct[num > 0] / num[num > 0]).mean()  # a class that was not drawn has no accuracy

    return {
        "accuracy": bootstrap_interval(len(right), lambda drawn: 100.0 * right[drawn].mean()),
        "balanced_accuracy": bootstrap_interval(len(right), balanced),
    }


def confusions(pairs: Iterable[Tuple[str, Optional[str]]]) -> Dict[str, Dict[str, int]]:
    """Number of utterances by class, then by predicted class ("none" for None), both sorted."""
    table: Dict[str, Dict[str, int]] = {}
    for true, predicted in pairs:
        row = table.setdefault(true, {})
        row[predicted or "none"] = row.get(predicted or "none", 0) + 1
    return {true: dict(sorted(row.items())) for true, row in sorted(table.items())}
