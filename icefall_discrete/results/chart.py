"""A chart of figures against bit rate, one point a feature type: a colour a recipe, a shape a kind of feature."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.metrics.facts import Metric, leading_metrics
from icefall_discrete.results.drawing import Caption, colours_of, dress, finish, shapes_of, stacked_panels
from icefall_discrete.results.feature_kinds import feature_kind

_BIT_RATE = "bit rate of the features, kbit/s (logarithmic); points that would lie upon each other stand side by side"


class Point(NamedTuple):
    """One result: `series` gives its colour, `kind` its shape.

    figures: what it has in each panel, by name (absent: not drawn). intervals: of those that have one.
    """

    label: str
    series: str
    kind: str
    bits_per_second: float
    figures: Dict[str, float]
    intervals: Dict[str, Tuple[float, float]]


def draw_chart(path: PathLike, points: Sequence[Point], panels: Sequence[Metric], title: str) -> None:
    """Draw `points` to a PNG file: a panel for each of `panels` (say WER and CER), bit rate on a logarithmic x axis.

    Raises:
      ValueError: if there is no point with a figure for a panel.
    """
    for panel in panels:
        if not any(panel.name in point.figures for point in points):
            raise ValueError(f"{path}: no result has a {panel.title}, so there is nothing to draw; score a run first.")
    colours = colours_of(sorted({point.series for point in points}))
    shapes = shapes_of([point.kind for point in points])
    drawn = [[point for point in points if panel.name in point.figures] for panel in panels]
    captions = [[_caption(point, panel, colours, shapes) for point in mine] for panel, mine in zip(panels, drawn)]
    texts = [[caption.text for caption in part] for part in captions]
    figure, axes = stacked_panels(title, texts)
    for axis, panel, part in zip(axes, panels, captions):
        dress(axis, panel, part)
    axes[-1].set_xlabel(_BIT_RATE, fontsize=11)
    finish(path, figure, captions, colours, shapes, side_by_side=True)


def _caption(point: Point, panel: Metric, colours: Dict[str, str], shapes: Dict[str, str]) -> Caption:
    value = point.figures[panel.name]
    bar = panel.possible(*point.intervals.get(panel.name, (value, value)))
    text = f"{point.label} {panel.shown(value)}"
    return Caption(point.bits_per_second / 1000, value, bar, text, colours[point.series], shapes[point.kind])


def points_of(rows: Sequence[Dict[str, Any]], split: str, conf_dirs: Sequence[Path] = ()) -> List[Point]:
    """One point for each result that has a bit rate and figures on `split`; a series is a recipe on a device.

    `conf_dirs` are for `feature_kind`.
    """
    metrics = leading_metrics(rows)
    points = []
    for row in rows:
        scored = (row.get("sets") or {}).get(split)
        bits = (row.get("features") or {}).get("bits_per_second")
        if not scored or not bits:
            continue
        figures = {metric.name: value for metric in metrics if (value := metric.of(scored)) is not None}
        if not figures:
            continue
        points.append(
            Point(
                label=row["feature_type"],
                series=f"{row['recipe']} ({row['device']})",
                kind=feature_kind(row, conf_dirs),
                bits_per_second=bits,
                figures=figures,
                intervals={name: tuple(scored[name]["interval"]) for name in figures if scored[name].get("interval")},
            )
        )
    return points
