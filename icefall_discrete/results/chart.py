"""A chart of figures against bit rate, one point a feature type: a colour a recipe, a shape a kind of feature."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.metrics.facts import Metric, leading_metrics
from icefall_discrete.results.drawing import (
    BARS,
    MARKER_SIZE,
    Caption,
    add_legends,
    colours_of,
    draw_labels,
    dress,
    inches_for,
    new_figure,
    room_for,
    shapes_of,
    write_figure,
)
from icefall_discrete.results.feature_kinds import feature_kind

_PANEL_INCHES = 3.6
_BESIDE_PANELS = 1.5  # inches for heading, axis and legends


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

    def text(self, panel: Metric) -> str:
        """Name and figure, as they stand beside it."""
        return f"{self.label} {panel.shown(self.figures[panel.name])}"

    def bar(self, panel: Metric) -> Tuple[float, float]:
        """The ends of its interval; the figure itself, twice, without one."""
        return self.intervals.get(panel.name, (self.figures[panel.name],) * 2)


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
    figure = new_figure(1.0, title)
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    drawn = {panel: [point for point in points if panel.name in point.figures] for panel in panels}
    texts = [[point.text(panel) for point in mine] for panel, mine in drawn.items()]
    high = max(_PANEL_INCHES, *(inches_for(axes[0], part) for part in texts))
    figure.set_figheight(len(panels) * high + _BESIDE_PANELS)
    for axis, (panel, mine) in zip(axes, drawn.items()):
        _draw_panel(axis, panel, mine, colours, shapes)
    axes[-1].set_xlabel("bit rate of the features, kbit/s (logarithmic)", fontsize=11)
    add_legends(figure, colours, shapes)
    if any(point.intervals for point in points):
        axes[0].set_title(BARS, fontsize=9, loc="left", color="#555555")
    figure.draw_without_rendering()
    _leave_room(axes[0], [point.bits_per_second / 1000 for point in points], [text for part in texts for text in part])
    for axis, (panel, mine) in zip(axes, drawn.items()):
        draw_labels(axis, [_caption(point, panel, colours) for point in mine])
    write_figure(figure, path)


def _caption(point: Point, panel: Metric, colours: Dict[str, str]) -> Caption:
    place = point.bits_per_second / 1000, point.figures[panel.name]
    return Caption(*place, point.bar(panel), point.text(panel), colours[point.series])


def _draw_panel(
    axis: Axes, panel: Metric, points: Sequence[Point], colours: Dict[str, str], shapes: Dict[str, str]
) -> None:
    for point in points:
        place, colour = point.bits_per_second / 1000, colours[point.series]
        axis.plot([place] * 2, point.bar(panel), color=colour, linewidth=1, alpha=0.6, clip_on=False)
        axis.plot(
            [place],
            [point.figures[panel.name]],
            linestyle="none",
            marker=shapes[point.kind],
            markersize=MARKER_SIZE,
            color=colour,
            markeredgecolor="white",
            clip_on=False,
            zorder=3,
        )
    axis.set_ylim(0, 1.08 * max(max(point.bar(panel)) for point in points) or 1)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(labelbottom=True)
    dress(axis, panel)


def _leave_room(axis: Axes, places: Sequence[float], texts: Sequence[str]) -> None:
    """Set the ends of the logarithmic axis, so that every label has room left of all points and right of them."""
    part = room_for(axis, texts)
    ratio = max(places) / min(places)
    if ratio == 1:
        axis.set_xlim(places[0] / 10, places[0] * 10)
        return
    beside = ratio ** (part / (1 - 2 * part))
    axis.set_xlim(min(places) / beside, max(places) * beside)


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
