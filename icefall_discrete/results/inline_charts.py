"""Charts as SVG text, to stand within a page: lines over steps, bars of groups, points."""

import io
import re
from typing import ContextManager, List, NamedTuple, Sequence, Tuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from icefall_discrete.results.drawing import COLOURS

_INCHES = (5.1, 2.7)  # two beside each other on a page
_MOST_POINTS = 1500  # more are not seen
_SCRIPTLESS = re.compile(r"<\?xml.*?(?=<svg)", re.DOTALL)


class Line(NamedTuple):
    """A line of a chart: its name, and its points from left to right."""

    name: str
    points: Sequence[Tuple[float, float]]


class Bar(NamedTuple):
    """A bar of a chart: what it is of, its height, and what is written on it."""

    name: str
    height: float
    note: str


def _same_every_time() -> ContextManager[None]:
    """Settings with which the same chart has the same bytes, and letters stay letters."""
    return rc_context({"svg.fonttype": "none", "svg.hashsalt": "chart", "font.size": 9.0})


def _figure(y_title: str, x_title: str) -> Tuple[Figure, Axes]:
    figure = Figure(figsize=_INCHES, layout="constrained")
    FigureCanvasSVG(figure)
    axis = figure.subplots()
    axis.set_ylabel(y_title)
    axis.set_xlabel(x_title)
    axis.grid(True, color="#dddddd", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _text(figure: Figure, title: str) -> str:
    """The figure as an <svg> element with a title for those who do not see it."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title})
    return _SCRIPTLESS.sub("", stream.getvalue()).strip()


def _thinned(points: Sequence[Tuple[float, float]]) -> Sequence[Tuple[float, float]]:
    step = -(-len(points) // _MOST_POINTS)
    return points[::step] if step > 1 else points


def line_chart(lines: Sequence[Line], y_title: str, x_title: str, from_zero: bool = False) -> str:
    """Lines upon each other, each in a colour of its own; a line of few points has marks.

    Args:
      from_zero: whether the y axis begins at 0.
    """
    with _same_every_time():
        figure, axis = _figure(y_title, x_title)
        for number, line in enumerate(lines):
            xs, ys = zip(*_thinned(line.points))
            marker = "o" if len(xs) <= 60 else ""
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(xs, ys, color=colour, label=line.name, marker=marker, markersize=3, linewidth=1.4)
        if from_zero:
            axis.set_ylim(bottom=0)
        if len(lines) > 1:
            axis.legend(frameon=False, fontsize=8)
        return _text(figure, y_title)


def bar_chart(bars: Sequence[Bar], y_title: str, x_title: str) -> str:
    """Bars beside each other, with their notes above them."""
    with _same_every_time():
        figure, axis = _figure(y_title, x_title)
        places: List[int] = list(range(len(bars)))
        drawn = axis.bar(places, [bar.height for bar in bars], color=COLOURS[0], width=0.7)
        axis.bar_label(drawn, [bar.note for bar in bars], fontsize=8, padding=2)
        axis.set_xticks(places, [bar.name for bar in bars])
        axis.grid(False, axis="x")
        axis.margins(y=0.15)
        return _text(figure, y_title)
