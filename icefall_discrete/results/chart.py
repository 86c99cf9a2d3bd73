"""A chart of a task's figures against bit rate, one point a feature type, whose labels never lie on each other."""

import math
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path as LinePath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from icefall_discrete.base.atomic_files import PathLike, replacing
from icefall_discrete.metrics.facts import Metric, leading_metrics

COLOURS = ("#1f5fa8", "#c4511a", "#2e7d4f", "#7b3f98", "#8a6d1b", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P")
_LABEL_SIZE = 9
_MARGIN_POINTS = 5
_CLOSE_POINTS = 12  # of a label that needs no line
# Where a label may go: first close to its point, then further out. Right and left read best, so they come first.
_DIRECTIONS = (
    *((1, 0), (-1, 0), (1, -1), (1, 1), (-1, -1), (-1, 1), (0, 1), (0, -1)),
    *((1, -0.5), (1, 0.5), (-1, -0.5), (-1, 0.5), (1, -2), (1, 2), (1, -3), (1, 3), (-1, -2), (-1, 2)),
)
_DISTANCES = (8, 13, 20, 30, 44, 64, 88, 116, 150)


class Point(NamedTuple):
    """One result: `series` gives its colour, `figures` what it has in each panel, by name (absent: not drawn)."""

    label: str
    series: str
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
    figure = Figure(figsize=(6.4 * len(panels), 5.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    series = sorted({point.series for point in points})
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels):
        _draw_panel(axis, panel, [point for point in points if panel.name in point.figures], series)
    if len(series) > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    if any(point.intervals for point in points):
        axes[0].set_title("bars: 95 % interval over utterances", fontsize=9, loc="left", color="#555555")
    figure.draw_without_rendering()
    for axis, panel in zip(axes, panels):
        _place_labels(axis, panel, [point for point in points if panel.name in point.figures], series)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, metadata={"Software": None})


def _draw_panel(axis: Axes, panel: Metric, points: Sequence[Point], series: Sequence[str]) -> None:
    for number, name in enumerate(series):
        mine = [point for point in points if point.series == name]
        axis.plot(
            [point.bits_per_second / 1000 for point in mine],
            [point.figures[panel.name] for point in mine],
            linestyle="none",
            marker=MARKERS[number % len(MARKERS)],
            markersize=8,
            color=COLOURS[number % len(COLOURS)],
            markeredgecolor="white",
            label=name,
            zorder=3,
        )
        for point in mine:
            if panel.name in point.intervals:
                ends = [point.bits_per_second / 1000] * 2, point.intervals[panel.name]
                axis.plot(*ends, color=COLOURS[number % len(COLOURS)], linewidth=1, alpha=0.6)
    _scale(axis, panel, points)


def _scale(axis: Axes, panel: Metric, points: Sequence[Point]) -> None:
    rates = [point.bits_per_second / 1000 for point in points]
    axis.set_xscale("log")
    axis.set_xlim(min(rates) / 2.5, max(rates) * 2.5)
    highest = [end for point in points for end in (point.figures[panel.name], *point.intervals.get(panel.name, ()))]
    axis.set_ylim(0, 1.12 * max(highest) or 1)  # no point is cut at the upper end
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("bit rate of the features, kbit/s (logarithmic)", fontsize=11)
    axis.set_ylabel(f"{panel.title}, {panel.unit} ({panel.direction})", fontsize=11)
    axis.grid(True, which="major", color="#dddddd", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _place_labels(axis: Axes, panel: Metric, points: Sequence[Point], series: Sequence[str]) -> None:
    pixels_per_point = axis.figure.dpi / 72
    centres = [_pixels(axis, point, point.figures[panel.name]) for point in points]
    radius = _MARGIN_POINTS * pixels_per_point
    taken = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in centres]
    taken += [_bar_box(axis, point, panel) for point in points if panel.name in point.intervals]
    labels = _Labels([], [], taken, axis.get_window_extent())
    for centre, point in sorted(zip(centres, points), key=lambda placed: (-placed[0][1], placed[1].label)):
        colour = COLOURS[series.index(point.series) % len(COLOURS)]
        label = f"{point.label} {panel.shown(point.figures[panel.name])}"
        size = _text_size(axis, label)
        box, leader_line = _free_box(centre, size, labels, pixels_per_point)
        labels.boxes.append(box)
        labels.lines.extend([leader_line] if leader_line is not None else [])
        shift = (box.x0 - centre[0], (box.y0 + box.y1) / 2 - centre[1])
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4, "relpos": (0, 0.5)}
        if leader_line is not None:
            leader["relpos"] = _part_of(box, leader_line)
        axis.annotate(
            label,
            (point.bits_per_second / 1000, point.figures[panel.name]),
            xytext=(shift[0] / pixels_per_point, shift[1] / pixels_per_point),
            textcoords="offset points",
            va="center",
            fontsize=_LABEL_SIZE,
            color=colour,
            arrowprops=leader if leader_line is not None else None,
        ).set_in_layout(False)


def _pixels(axis: Axes, point: Point, value: float) -> Tuple[float, float]:
    x, y = axis.transData.transform((point.bits_per_second / 1000, value))
    return float(x), float(y)


def _bar_box(axis: Axes, point: Point, panel: Metric) -> Bbox:
    low, high = (_pixels(axis, point, end) for end in point.intervals[panel.name])
    return Bbox.from_extents(low[0] - 1, low[1], high[0] + 1, high[1])


def _text_size(axis: Axes, text: str) -> Tuple[float, float]:
    drawn = axis.text(0, 0, text, fontsize=_LABEL_SIZE, transform=None)
    extent = drawn.get_window_extent()
    drawn.remove()
    return extent.width, extent.height


class _Labels(NamedTuple):
    """Labels that have their places, the lines that lead to them, the points and bars, and the frame of all."""

    boxes: List[Bbox]
    lines: List[LinePath]
    drawn: List[Bbox]
    frame: Bbox

    def lie_under(self, box: Bbox) -> bool:
        """Whether a label there would lie on something, or leave the frame."""
        frame = self.frame
        outside = box.x0 < frame.x0 or frame.x1 < box.x1 or box.y0 < frame.y0 or frame.y1 < box.y1
        return outside or any(box.overlaps(other) for other in (*self.boxes, *self.drawn))

    def crossings(self, box: Bbox, line: Optional[LinePath]) -> int:
        """How many labels and lines would cross if a label lay there, with this line that leads to it."""
        crossed = sum(other.intersects_bbox(box, filled=False) for other in self.lines)
        if line is not None:
            crossed += sum(line.intersects_bbox(other, filled=False) for other in self.boxes)
            crossed += sum(line.intersects_path(other, filled=False) for other in self.lines)
        return crossed


def _free_box(
    centre: Tuple[float, float], size: Tuple[float, float], labels: _Labels, pixels_per_point: float
) -> Tuple[Bbox, Optional[LinePath]]:
    """The first place for a label of `size` near `centre` that lies in the frame and on nothing, and the line to it.

    The lines, which labels have that are not close, cross as few labels and lines as can be.
    """
    places: List[Tuple[Bbox, Optional[LinePath]]] = []
    for distance in _DISTANCES:
        for right, up in _DIRECTIONS:
            step = distance * pixels_per_point
            x = centre[0] + right * step + (right - 1) / 2 * size[0]
            y = centre[1] + up * step + (up - 1) / 2 * size[1]
            box = Bbox.from_extents(x, y, x + size[0], y + size[1])
            places.append((box, _leader(centre, box, _CLOSE_POINTS * pixels_per_point)))
    free = [(box, line) for box, line in places if not labels.lie_under(box)]
    return min(free, key=lambda place: labels.crossings(*place)) if free else places[0]


def _leader(centre: Tuple[float, float], box: Bbox, close: float) -> Optional[LinePath]:
    """The line from a point to the nearest place of its label, if that is not close."""
    nearest = (min(max(centre[0], box.x0), box.x1), min(max(centre[1], box.y0), box.y1))
    return LinePath([centre, nearest]) if math.dist(centre, nearest) > close else None


def _part_of(box: Bbox, line: LinePath) -> Tuple[float, float]:
    """Where on a label its line ends, in parts of its width and height."""
    end = np.asarray(line.vertices)[1]
    return float((end[0] - box.x0) / box.width), float((end[1] - box.y0) / box.height)


def points_of(rows: Sequence[Dict[str, Any]], split: str) -> List[Point]:
    """One point for each result that has a bit rate and figures on `split`; a series is a recipe on a device."""
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
                bits_per_second=bits,
                figures=figures,
                intervals={name: tuple(scored[name]["interval"]) for name in figures if scored[name].get("interval")},
            )
        )
    return points
