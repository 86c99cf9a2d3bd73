"""Where units change, against where phones (or letters) do: F1 and R-value of boundaries.

Räsänen, Laine and Altosaar 2009, "An improved speech segmentation quality measure: the R-value", which does not reward
boundaries everywhere, as recall does and F1 a little.
"""

import dataclasses
import math
from typing import Any, Dict, Sequence

import numpy as np

from icefall_discrete.metrics.facts import Metric

TOLERANCE_SEC = 0.02
_LEGEND = "Boundary F1 and R-value compare where units change with where labels do, within 20 ms, each counted once."
METRICS = (
    Metric("boundary_f1", "boundary F1", "score", _LEGEND, higher_is_better=True, is_aside=True),
    Metric("boundary_r", "R-value", "score", _LEGEND, higher_is_better=True, is_aside=True),
)


def changes(units: np.ndarray, frame_rate_hz: float) -> np.ndarray:
    """Seconds at which units (T,) change: the begin of each frame that differs from the one before."""
    return (np.flatnonzero(units[1:] != units[:-1]) + 1) / frame_rate_hz


def matched(reference_sec: Sequence[float], found_sec: Sequence[float]) -> int:
    """The most pairs of reference and found boundary, both rising, at most `TOLERANCE_SEC` apart, none used twice."""
    pairs = place = 0
    for moment in reference_sec:
        while place < len(found_sec) and found_sec[place] < moment - TOLERANCE_SEC - 1e-9:
            place += 1
        if place < len(found_sec) and found_sec[place] <= moment + TOLERANCE_SEC + 1e-9:
            pairs, place = pairs + 1, place + 1
    return pairs


@dataclasses.dataclass
class Boundaries:
    """Sums over utterances: boundaries of the reference, those found, and pairs of both."""

    reference: int = 0
    found: int = 0
    pairs: int = 0

    def add(self, reference_sec: Sequence[float], found_sec: Sequence[float]) -> None:
        """Count one utterance; both in seconds, rising."""
        self.reference += len(reference_sec)
        self.found += len(found_sec)
        self.pairs += matched(reference_sec, found_sec)

    @property
    def recall(self) -> float:
        """Part of the reference's boundaries that were found; 0 without any."""
        return self.pairs / self.reference if self.reference else 0.0

    @property
    def precision(self) -> float:
        """Part of the found boundaries that are in the reference; 0 without any."""
        return self.pairs / self.found if self.found else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.reference + self.found
        return 2 * self.pairs / total if total else 0.0

    @property
    def r_value(self) -> float:
        """1 for all boundaries and no others; below 0 for far too many. 0 without a reference."""
        if not self.reference:
            return 0.0
        missed, excess = 1.0 - self.recall, self.found / self.reference - 1.0
        return 1.0 - (math.hypot(missed, excess) + abs(-excess - missed) / math.sqrt(2)) / 2

    def scores(self) -> Dict[str, Any]:
        """For `sets.<split>` of a result, in percent by the names of METRICS."""
        return {"boundary_f1": {"rate": round(100 * self.f1, 3)}, "boundary_r": {"rate": round(100 * self.r_value, 3)}}
