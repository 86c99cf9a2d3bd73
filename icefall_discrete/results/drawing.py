"""What all charts share: colours and shapes, an empty figure, how axes look, labels beside points, the file."""

import colorsys
import itertools
import math
import textwrap
from pathlib import Path
from typing import Dict, List, Literal, NamedTuple, Sequence, Tuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from icefall_discrete.base.atomic_files import PathLike, replacing
from icefall_discrete.metrics.facts import Metric
from icefall_discrete.results.feature_kinds import FEATURE_KINDS
from icefall_discrete.results.label_layout import (
    Box,
    Label,
    Line,
    Mark,
    NoRoomError,
    place_labels,
    room_beside,
    room_needed,
    spread,
)

COLOURS = ("#1f5fa8", "#c4511a", "#2e7d4f", "#7b3f98", "#8a6d1b", "#555555", "#b0336e", "#1b8a8a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INCHES_WIDE = 8.6
DOTS_PER_INCH = 120
MARKER_SIZE = 8
BARS = "bars: 95 % interval over utterances; of several seeds, standard deviation"
LEADER = "leader"  # name of the lines from points to their labels
_PIXELS_PER_POINT = DOTS_PER_INCH / 72
_LABEL_SIZE = 9
_PANEL_INCHES = 3.6
_BESIDE_PANELS = 1.5  # inches for heading, axis and legends
_RADIUS = 5.5  # of a point with its white edge, in points, as is the next
_SPACING = 2.0
_SHORT_NAME = 18  # letters of names that stand in two columns of a legend
_ON_GRID = (Stroke(linewidth=2.5, foreground="white"), Normal())  # letters on the lines of the grid


# Lines of a panel, each through its places (in data) one after the other.
Curves = Sequence[Sequence[Tuple[float, float]]]


class Caption(NamedTuple):
    """A point and its label: where it is (in data), the ends of its bar in y, text (empty: none), colour and shape."""

    x: float
    y: float
    bar: Tuple[float, float]
    text: str
    colour: str
    marker: str


def colours_of(names: Sequence[str]) -> Dict[str, str]:
    """A colour for each of several names, each another."""
    further = len(names) - len(COLOURS)
    found = list(COLOURS)
    for number in range(further):
        parts = colorsys.hls_to_rgb(number / further, 0.35 + 0.2 * (number % 2), 0.7)
        found.append("#" + "".join(f"{round(255 * part):02x}" for part in parts))
    return dict(zip(names, found))


def shapes_of(kinds: Sequence[str]) -> Dict[str, str]:
    """The shape of each of the kinds of feature that are there, in the order of legends; the same in every chart."""
    return {kind: MARKERS[number] for number, kind in enumerate(FEATURE_KINDS) if kind in kinds}


def add_heading(figure: Figure, title: str) -> None:
    """Write the figure's heading, on as many lines as its width asks for."""
    heading = figure.suptitle(title, fontsize=13, fontweight="bold")
    wide, room = heading.get_window_extent().width, 0.96 * figure.get_figwidth() * figure.dpi
    if wide > room:
        heading.set_text(textwrap.fill(title, int(len(title) * room / wide)))


def stacked_panels(title: str, texts: Sequence[Sequence[str]]) -> Tuple[Figure, List[Axes]]:
    """A figure with a heading and panels upon each other, high enough for labels of these texts in each."""
    figure = Figure(figsize=(INCHES_WIDE, 1.0), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    add_heading(figure, title)
    axes = list(figure.subplots(len(texts), 1, squeeze=False, sharex=True)[:, 0])
    high = max(_PANEL_INCHES, *(_inches_for(axes[0], part) for part in texts))
    figure.set_figheight(len(texts) * high + _BESIDE_PANELS)
    axes[0].set_title(BARS, fontsize=_LABEL_SIZE, loc="left", color="#555555")
    return figure, axes


def _draw_point(axis: Axes, caption: Caption) -> Tuple[Line2D, Line2D]:
    """A bar and its point; both are whole at the edges too."""
    (bar,) = axis.plot([caption.x] * 2, caption.bar, color=caption.colour, linewidth=1, alpha=0.6, clip_on=False)
    (point,) = axis.plot(
        [caption.x],
        [caption.y],
        linestyle="none",
        marker=caption.marker,
        markersize=MARKER_SIZE,
        color=caption.colour,
        markeredgecolor="white",
        clip_on=False,
        zorder=3,
    )
    return bar, point


def dress(axis: Axes, panel: Metric, captions: Sequence[Caption]) -> None:
    """Name and range of the figure, a logarithmic x axis, grid and frame."""
    axis.set_ylim(0, 1.08 * max(max(caption.bar) for caption in captions) or 1)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(labelbottom=True)
    axis.set_ylabel(panel.axis_title, fontsize=11)
    axis.grid(True, which="major", color="#dddddd", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _add_legends(figure: Figure, colours: Dict[str, str], shapes: Dict[str, str]) -> None:
    """A legend of colours at the lower left, one of shapes at the lower right; none of a single colour or shape."""
    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    marks = [
        Line2D([], [], linestyle="none", marker=marker, markersize=MARKER_SIZE, color="#444444", label=name)
        for name, marker in shapes.items()
    ]
    short = all(len(name) <= _SHORT_NAME for name in colours)
    _add_legend(figure, patches, "outside lower left", 2 if short else 1)
    _add_legend(figure, marks, "outside lower right", 2)


def _add_legend(
    figure: Figure,
    handles: Sequence[Artist],
    location: Literal["outside lower left", "outside lower right"],
    columns: int,
) -> None:
    if len(handles) > 1:
        figure.legend(handles=handles, loc=location, ncols=columns, frameon=False, fontsize=_LABEL_SIZE)


def _text_size(axis: Axes, text: str) -> Tuple[float, float]:
    drawn = axis.text(0, 0, text, fontsize=_LABEL_SIZE, transform=None)
    extent = drawn.get_window_extent()
    drawn.remove()
    return extent.width, extent.height


def _marks(axis: Axes, captions: Sequence[Caption]) -> List[Mark]:
    marks = []
    for caption in captions:
        (x, y), (_, low), (_, high) = axis.transData.transform([(caption.x, y) for y in (caption.y, *caption.bar)])
        marks.append(Mark(float(x), float(y), float(low), float(high), *_text_size(axis, caption.text)))
    return marks


def _inches_for(axis: Axes, texts: Sequence[str]) -> float:
    """How high a panel has to be, so that labels of all these texts have room in one column."""
    marks = [Mark(0, 0, 0, 0, *_text_size(axis, text)) for text in texts]
    return room_needed(marks, _SPACING * _PIXELS_PER_POINT) / DOTS_PER_INCH


def _room_for(axis: Axes, captions: Sequence[Caption]) -> float:
    """How many pixels labels of these need beside their points."""
    marks = [Mark(0, 0, 0, 0, *_text_size(axis, caption.text)) for caption in captions]
    return room_beside(marks, _RADIUS * _PIXELS_PER_POINT) + 2


def _leave_room(axis: Axes, places: Sequence[float], left: float, right: float) -> None:
    """Set the ends of the logarithmic axis, so that so many pixels are free beside the first and the last of `places`.

    It has no ticks where there is nothing but labels.
    """
    least, most = min(places), max(places)
    ratio, width = most / least, axis.get_window_extent().width
    if ratio == 1:
        axis.set_xlim(least / 10, most * 10)
        return
    each = math.log(ratio) / (width - left - right)
    ticks = axis.xaxis.get_major_locator().tick_values(least, most)
    axis.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if least / 3 <= tick <= 3 * most]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlim(least / math.exp(each * left), most * math.exp(each * right))


class _Placed(NamedTuple):
    """The points of a panel where they are drawn, and of those that have a label, where it stands."""

    captions: List[Caption]
    labels: List[Label]


def _placed(
    axes: Sequence[Axes], captions: Sequence[Sequence[Caption]], side_by_side: bool, curves: Sequence[Curves]
) -> List[_Placed]:
    """Leave room for labels and points that move aside, and find their places."""
    every = [caption for part in captions for caption in part]
    places = [caption.x for caption in every]
    at_edge = [caption for caption in every if caption.x == max(places)]
    # All labels find places if each of them has room behind the last point, and before it there are curves.
    for beside_last in (every,) if any(curves) else (at_edge, every):
        left, right = _room_for(axes[0], [] if any(curves) else every), _room_for(axes[0], beside_last)
        _leave_room(axes[0], places, left, right)
        moved = [list(part) for part in captions]
        if side_by_side:
            before, behind = _overflow(axes, captions)
            _leave_room(axes[0], places, left + before, right + behind)
            moved = [_moved(axis, part, before, behind) for axis, part in zip(axes, captions)]
        try:
            return [_Placed(part, _labels(axis, part, lines)) for axis, part, lines in zip(axes, moved, curves)]
        except NoRoomError:
            if beside_last is every:
                raise
    raise AssertionError("the last way either returns or raises")


def _spread(axis: Axes, captions: Sequence[Caption]) -> Tuple[List[Mark], List[float]]:
    marks = _marks(axis, captions)
    return marks, spread(marks, _RADIUS * _PIXELS_PER_POINT)


def _overflow(axes: Sequence[Axes], captions: Sequence[Sequence[Caption]]) -> Tuple[float, float]:
    """How many pixels before the first point, and behind the last one, are taken by points that move aside."""
    before = behind = 0.0
    for axis, part in zip(axes, captions):
        marks, places = _spread(axis, part)
        before = max(before, min(mark.x for mark in marks) - min(places))
        behind = max(behind, max(places) - max(mark.x for mark in marks))
    return before, behind


def _moved(axis: Axes, captions: Sequence[Caption], before: float, behind: float) -> List[Caption]:
    """The captions, with a little more or less in x where points or bars would lie upon each other."""
    marks, places = _spread(axis, captions)
    least, most = min(mark.x for mark in marks) - before, max(mark.x for mark in marks) + behind
    in_pixels = [(min(max(place, least), most), mark.y) for place, mark in zip(places, marks)]
    in_data = axis.transData.inverted().transform(in_pixels)[:, 0]
    return [one._replace(x=float(x)) for one, x in zip(captions, in_data)]


def _labels(axis: Axes, captions: Sequence[Caption], curves: Curves) -> List[Label]:
    """Where the labels stand; see `label_layout`."""
    drawn = [axis.transData.transform(curve) for curve in curves]
    lines = [Line(tuple(start), tuple(end)) for curve in drawn for start, end in itertools.pairwise(curve)]
    extent = axis.get_window_extent()
    frame = Box(extent.x0, extent.y0, extent.x1, extent.y1)
    marks = _marks(axis, [caption for caption in captions if caption.text])
    return place_labels(marks, frame, _RADIUS * _PIXELS_PER_POINT, _SPACING * _PIXELS_PER_POINT, lines)


def _draw_labels(axis: Axes, placed: _Placed) -> None:
    """Write the labels of points, with lines to those that do not stand beside them."""
    for caption, label in zip([caption for caption in placed.captions if caption.text], placed.labels):
        axis.text(
            label.box.x0,
            (label.box.y0 + label.box.y1) / 2,
            caption.text,
            transform=None,
            va="center_baseline",
            fontsize=_LABEL_SIZE,
            color=caption.colour,
            path_effects=_ON_GRID,
        ).set_in_layout(False)
        if label.line is not None:
            line = Line2D(*zip(*label.line), transform=None, color=caption.colour, linewidth=0.7, alpha=0.8, zorder=2)
            line.set_gid(LEADER)
            line.set_in_layout(False)
            axis.add_artist(line)


def finish(
    path: PathLike,
    figure: Figure,
    captions: Sequence[Sequence[Caption]],
    colours: Dict[str, str],
    shapes: Dict[str, str],
    side_by_side: bool = False,
    curves: Sequence[Curves] = (),
) -> None:
    """Add points, legends and labels, and write the PNG: the same bytes for the same figure.

    Args:
      captions: the points of each panel, with their labels. colours, shapes: for the legends.
      side_by_side: move points a little in x where they would lie upon each other.
      curves: what was drawn in each panel and labels are not to lie upon.
    """
    axes = figure.axes
    drawn = [[_draw_point(axis, caption) for caption in part] for axis, part in zip(axes, captions)]
    _add_legends(figure, colours, shapes)
    figure.draw_without_rendering()
    for axis, placed, artists in zip(axes, _placed(axes, captions, side_by_side, curves or [()] * len(axes)), drawn):
        for caption, (bar, point) in zip(placed.captions, artists):
            bar.set_xdata([caption.x] * 2)
            point.set_xdata([caption.x])
        _draw_labels(axis, placed)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
