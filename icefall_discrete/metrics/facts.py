"""What is to be known of a figure before it is shown: name, unit, direction. Pages are made from that alone.

Each module of this folder that measures something for results lists its figures as `METRICS`; they are found by looking
through the folder, so that a task brings its figures and needs no page of its own. In result.json a figure lies below
its name: `{"rate": percent, ...}`, or `{"value": ...}` where the unit is another.
"""

import dataclasses
import functools
import importlib
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from icefall_discrete.base.registry import modules_in

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure.

    name: its key in results. title: in the heads of tables. kind: what charts call it, such as "error rate".
    legend: whole sentences for the legend of a page; metrics that share them give the same.
    unit: behind the title. higher_is_better: its direction. decimals: digits behind the point in tables.
    is_aside: it stands beside what a task is measured by, for test sets only.
    """

    name: str
    title: str
    kind: str
    legend: str
    unit: str = "%"
    higher_is_better: bool = False
    decimals: int = 1
    is_aside: bool = False

    @property
    def head(self) -> str:
        """Title and unit, as in "WER %"."""
        return f"{self.title} {self.unit}".rstrip()

    @property
    def axis_title(self) -> str:
        """Title, unit and direction, as in "WER, % (lower is better)"."""
        return f"{', '.join(part for part in (self.title, self.unit) if part)} ({self.direction})"

    @property
    def kinds(self) -> str:
        """The kind in the plural, with a capital: "Error rates", "Accuracies"."""
        plural = f"{self.kind[:-1]}ies" if self.kind.endswith("y") else f"{self.kind}s"
        return plural.capitalize()

    @property
    def direction(self) -> str:
        """As charts say it: "lower is better" or "higher is better"."""
        return f"{'higher' if self.higher_is_better else 'lower'} is better"

    def shown(self, value: Optional[float], more_decimals: int = 0) -> str:
        """The number without its unit; nothing for None."""
        return "" if value is None else f"{value:.{self.decimals + more_decimals}f}"

    def possible(self, low: float, high: float) -> Tuple[float, float]:
        """What a figure can have of an interval: no percentage is below 0, no share of what is right above 100."""
        if self.unit != "%":
            return low, high
        return max(low, 0.0), min(high, 100.0) if self.higher_is_better else high

    def best(self, values: Iterable[Optional[float]]) -> Optional[float]:
        """The best of the values that are there; None if none is."""
        known = [value for value in values if value is not None]
        return (max if self.higher_is_better else min)(known, default=None)

    def of(self, scored: Optional[Json]) -> Optional[float]:
        """Its value in the scores of a set (or of a part of one); None if it was not measured there."""
        found = (scored or {}).get(self.name)
        return found.get("rate", found.get("value")) if isinstance(found, Mapping) else found

    def undefined(self, scored: Optional[Json]) -> str:
        """A dash if it was measured but has no value, as an error rate without a reference; else nothing."""
        return "–" if isinstance((scored or {}).get(self.name), Mapping) and self.of(scored) is None else ""

    def with_interval(self, scored: Optional[Json]) -> str:
        """Its value in the scores of a set as text, with half of its interval or, of several runs, the spread."""
        interval = self._beside(scored, "interval")
        if interval is None or self._beside(scored, "spread") is not None:
            return self.with_spread(scored)
        return f"{self.shown(self.of(scored))} ± {self.shown((interval[1] - interval[0]) / 2)}"

    def with_spread(self, scored: Optional[Json]) -> str:
        """Its value in the scores of a set as text, with the spread over several runs if there were."""
        spread = self._beside(scored, "spread")
        return self.shown(self.of(scored)) + (f" ± {self.shown(spread)}" if spread is not None else "")

    def _beside(self, scored: Optional[Json], key: str) -> Any:
        """What stands beside its value; None if there is none."""
        found = (scored or {}).get(self.name)
        return found.get(key) if isinstance(found, Mapping) and self.of(scored) is not None else None


@functools.cache
def known_metrics() -> Dict[str, Metric]:
    """All figures by name, in the order of the modules' names and of their lists.

    Raises:
      ValueError: if two have the same name.
    """
    found: Dict[str, Metric] = {}
    for path in (path for _, path in sorted(modules_in(__name__.rpartition(".")[0]).items()) if path != __name__):
        for metric in getattr(importlib.import_module(path), "METRICS", ()):
            if metric.name in found:
                raise ValueError(f"{path}: metric '{metric.name}' is in another module too; rename one of them.")
            found[metric.name] = metric
    return found


def metric_named(name: str) -> Metric:
    """The figure called `name`. Raises ValueError if there is none; the known ones are listed."""
    known = known_metrics()
    if name not in known:
        raise ValueError(f"unknown metric '{name}'; known: {', '.join(known)}.")
    return known[name]


def metrics_of(rows: Iterable[Json]) -> List[Metric]:
    """The figures that some set of the result rows has, those aside last."""
    there = {name for row in rows for scored in (row.get("sets") or {}).values() for name in scored}
    found = [metric for name, metric in known_metrics().items() if name in there]
    return sorted(found, key=lambda metric: metric.is_aside)


def leading_metrics(rows: Iterable[Json]) -> List[Metric]:
    """The figures that a task is measured by, where some set of the rows has them; the first is the first of all."""
    return [metric for metric in metrics_of(rows) if not metric.is_aside]


def first_metric(rows: Iterable[Json]) -> Metric:
    """The figure that stands for a task where there is room for one. Raises ValueError if the rows have none."""
    found = leading_metrics(rows)
    if not found:
        raise ValueError(f"these results have none of the figures {', '.join(known_metrics())}; score them again.")
    return found[0]
