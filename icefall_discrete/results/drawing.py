"""What all charts share: colours and shapes, an empty figure, how axes look, labels beside points, the file."""

import colorsys
from pathlib import Path
from typing import Dict, List, Literal, NamedTuple, Sequence, Tuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from icefall_discrete.base.atomic_files import PathLike, replacing
from icefall_discrete.metrics.facts import Metric
from icefall_discrete.results.feature_kinds import FEATURE_KINDS
from icefall_discrete.results.label_layout import Box, Mark, place_labels, room_beside, room_needed

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


class Caption(NamedTuple):
    """The label of a point: where the point is (in data), the ends of its bar in y, text and colour."""

    x: float
    y: float
    bar: Tuple[float, float]
    text: str
    colour: str


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


def stacked_panels(title: str, texts: Sequence[Sequence[str]]) -> Tuple[Figure, List[Axes]]:
    """A figure with a heading and panels upon each other, high enough for labels of these texts in each."""
    figure = Figure(figsize=(INCHES_WIDE, 1.0), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    axes = list(figure.subplots(len(texts), 1, squeeze=False, sharex=True)[:, 0])
    high = max(_PANEL_INCHES, *(_inches_for(axes[0], part) for part in texts))
    figure.set_figheight(len(texts) * high + _BESIDE_PANELS)
    axes[0].set_title(BARS, fontsize=_LABEL_SIZE, loc="left", color="#555555")
    return figure, axes


def draw_point(axis: Axes, caption: Caption, marker: str) -> None:
    """A point and its bar; both are whole at the edges too."""
    axis.plot([caption.x] * 2, caption.bar, color=caption.colour, linewidth=1, alpha=0.6, clip_on=False)
    axis.plot(
        [caption.x],
        [caption.y],
        linestyle="none",
        marker=marker,
        markersize=MARKER_SIZE,
        color=caption.colour,
        markeredgecolor="white",
        clip_on=False,
        zorder=3,
    )


def dress(axis: Axes, panel: Metric, captions: Sequence[Caption]) -> None:
    """Name and range of the figure, a logarithmic x axis, grid and frame."""
    axis.set_ylim(0, 1.08 * max(max(caption.bar) for caption in captions) or 1)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(labelbottom=True)
    axis.set_ylabel(f"{panel.title}, {panel.unit} ({panel.direction})", fontsize=11)
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


def _room_for(axis: Axes, texts: Sequence[str]) -> float:
    """Which part of the width of a panel has to be free right of the last point, and left of the first, for labels."""
    marks = [Mark(0, 0, 0, 0, *_text_size(axis, text)) for text in texts]
    return (room_beside(marks, _RADIUS * _PIXELS_PER_POINT) + 2) / axis.get_window_extent().width


def _leave_room(axis: Axes, places: Sequence[float], texts: Sequence[str]) -> None:
    """Set the ends of the logarithmic axis, so that every label has room left of all points and right of them."""
    part = _room_for(axis, texts)
    ratio = max(places) / min(places)
    if ratio == 1:
        axis.set_xlim(places[0] / 10, places[0] * 10)
        return
    beside = ratio ** (part / (1 - 2 * part))
    axis.set_xlim(min(places) / beside, max(places) * beside)


def _draw_labels(axis: Axes, captions: Sequence[Caption]) -> None:
    """Write the labels of all points; see `label_layout` for where they go and what it needs."""
    extent = axis.get_window_extent()
    frame = Box(extent.x0, extent.y0, extent.x1, extent.y1)
    radius, spacing = _RADIUS * _PIXELS_PER_POINT, _SPACING * _PIXELS_PER_POINT
    for caption, label in zip(captions, place_labels(_marks(axis, captions), frame, radius, spacing)):
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
    places: Sequence[float],
    colours: Dict[str, str],
    shapes: Dict[str, str],
) -> None:
    """Add legends and labels, and write the PNG: the same bytes for the same figure.

    Args:
      captions: the labels of each panel. places: in x, of all points. colours, shapes: for the legends.
    """
    _add_legends(figure, colours, shapes)
    figure.draw_without_rendering()
    axes = figure.axes
    _leave_room(axes[0], places, [caption.text for part in captions for caption in part])
    for axis, part in zip(axes, captions):
        _draw_labels(axis, part)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
