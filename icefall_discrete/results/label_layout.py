"""Where the labels of points go: beside them, in columns, so that nothing lies upon anything and no lines cross.

Points that lie close together in x are a crowd, whose labels stand in one column right or left of it, as near to the
height of their points as there is room; how close is tried two ways, and the labels that are nearer are taken. Which
label takes which place of its column is the choice whose lines, taken together, are shortest; of such lines no two
cross. Where a crowd finds no column, all labels stand in one at the right edge, for which the frame must have room. All
lengths are in pixels, y upwards.
"""

import dataclasses
import math
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

Place = Tuple[float, float]
_STEP = 2.0  # between heights that are tried
_GAPS = (0.8, 2.5, 5.0)  # between a crowd and its column, in radii of a point
_CROWDS = (5.0, 2.5)  # points nearer in x than this many radii are one crowd
_LEVEL = 3.0  # a label this near to the height of its point needs no line
_ASIDE = 4.0  # steps in x by which points are moved that would lie upon others
_MOST_ASIDE = 20  # such steps
_BARS_APART = 3.0  # bars nearer in x than this cannot be told apart where they share heights


class NoRoomError(ValueError):
    """A frame is too small for its labels."""


class Box(NamedTuple):
    """A rectangle: left, bottom, right and upper edge."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def holds(self, other: "Box") -> bool:
        """Whether the other lies in this one."""
        return self.x0 <= other.x0 and self.y0 <= other.y0 and other.x1 <= self.x1 and other.y1 <= self.y1


class Line(NamedTuple):
    """From a point to its label."""

    start: Place
    end: Place

    def crosses(self, other: "Line") -> bool:
        """Whether each has its ends on both sides of the other; lines that only meet at an end do not cross."""
        turns = [_turn(*self, end) for end in other], [_turn(*other, end) for end in self]
        return all(first * second < 0 for first, second in turns)

    def _part_in(self, box: Box) -> Tuple[float, float]:
        """Which part of the line, from 0 to 1, lies in the box; from more to less if none does."""
        low, high = 0.0, 1.0
        for axis in (0, 1):
            start, step = self.start[axis], self.end[axis] - self.start[axis]
            if step == 0:
                low = low if box[axis] < start < box[axis + 2] else math.inf
                continue
            entry, leaving = sorted(((box[axis] - start) / step, (box[axis + 2] - start) / step))
            low, high = max(low, entry), min(high, leaving)
        return low, high

    def meets(self, box: Box) -> bool:
        """Whether a part of it lies in the box."""
        low, high = self._part_in(box)
        return low < high - 1e-9

    def heights_in(self, box: Box) -> Tuple[float, float]:
        """The least and the greatest height of its part in the box."""
        ends = [self.start[1] + part * (self.end[1] - self.start[1]) for part in self._part_in(box)]
        return min(ends), max(ends)


def _turn(start: Place, end: Place, other: Place) -> float:
    return (end[0] - start[0]) * (other[1] - start[1]) - (end[1] - start[1]) * (other[0] - start[0])


class Mark(NamedTuple):
    """A point and its label: the centre, the ends in y of its bar (the centre without one), the size of the label."""

    x: float
    y: float
    low: float
    high: float
    width: float
    height: float

    def boxes(self, radius: float) -> Tuple[Box, Box]:
        """What point and bar cover."""
        point = Box(self.x - radius, self.y - radius, self.x + radius, self.y + radius)
        return point, Box(self.x - 1, self.low, self.x + 1, self.high)


class Label(NamedTuple):
    """Where a label lies, and the line to it; None where it lies beside its point."""

    box: Box
    line: Optional[Line]


@dataclasses.dataclass
class _Drawn:
    """All that labels and lines have to keep clear of."""

    frame: Box
    marks: List[Box]
    curves: Sequence[Line]
    labels: List[Label]

    def free_heights(self, x0: float, x1: float, height: float, middles: np.ndarray) -> np.ndarray:
        """Those of the `middles` where a label from x0 to x1 can lie."""
        column = Box(x0, self.frame.y0, x1, self.frame.y1)
        if not self.frame.holds(column):
            return middles[:0]
        covered = [box for box in (*self.marks, *(label.box for label in self.labels)) if box.overlaps(column)]
        taken = [(box.y0, box.y1) for box in covered]
        lines = [*self.curves, *(label.line for label in self.labels if label.line)]
        taken += [line.heights_in(column) for line in lines if line.meets(column)]
        half = height / 2
        is_free = (middles - half >= self.frame.y0) & (middles + half <= self.frame.y1)
        for low, high in taken:
            is_free &= (middles + half <= low) | (middles - half >= high)
        return middles[is_free]

    def is_clear(self, line: Line) -> bool:
        """Whether a line crosses no label and no other line."""
        return not any(
            line.meets(label.box) or (label.line is not None and line.crosses(label.line)) for label in self.labels
        )


def spread(marks: Sequence[Mark], radius: float) -> List[float]:
    """A place in x for each of `marks`, as near to its own as can be, so that no point or bar lies upon another.

    Where there is none within some 80 pixels, it is the mark's own.
    """
    placed: List[Mark] = []
    places = [mark.x for mark in marks]
    for number in sorted(range(len(marks)), key=lambda number: (marks[number].x, marks[number].y, number)):
        steps = (sign * _ASIDE * step for step in range(_MOST_ASIDE + 1) for sign in ((1, -1) if step else (1,)))
        moved = (marks[number]._replace(x=marks[number].x + step) for step in steps)
        free = next((mark for mark in moved if not any(_collide(mark, one, radius) for one in placed)), marks[number])
        placed.append(free)
        places[number] = free.x
    return places


def _collide(one: Mark, other: Mark, radius: float) -> bool:
    aside = abs(one.x - other.x)
    bars = aside < _BARS_APART and one.low < other.high and other.low < one.high
    return bars or (aside < 2 * radius and abs(one.y - other.y) < 2 * radius)


def room_needed(marks: Sequence[Mark], spacing: float) -> float:
    """The height of a frame in which the labels of all find places in one column."""
    return (len(marks) + 1) * (max((mark.height for mark in marks), default=0.0) + spacing + _STEP)


def room_beside(marks: Sequence[Mark], radius: float) -> float:
    """The width that a frame needs right of the middle of its last point, and left of that of its first."""
    return (1 + _GAPS[0]) * radius + 1 + max((mark.width for mark in marks), default=0.0)


def place_labels(
    marks: Sequence[Mark], frame: Box, radius: float, spacing: float, curves: Sequence[Line] = ()
) -> List[Label]:
    """A place for the label of each of `marks`, in their order.

    No two labels lie upon each other, none upon a point (of `radius`), a bar or one of `curves`, or outside `frame`; no
    line to a label crosses another one or a label. `spacing` is left between the labels of a column.

    Raises:
      NoRoomError: if the frame is lower than `room_needed`, or has less room right of all points than `room_beside`.
    """
    orders = []
    for crowds in (_crowds(marks, near * radius) for near in _CROWDS):
        orders += [sorted(crowds, key=lambda crowd: (-len(crowd), marks[crowd[0]].x)), crowds, crowds[::-1]]
    boxes = [box for mark in marks for box in mark.boxes(radius)]
    tries = (_place_crowds(marks, order, _Drawn(frame, boxes, curves, []), radius, spacing) for order in orders)
    found = [labels for labels in tries if labels is not None]
    if not found:
        alone = _Drawn(frame, boxes, curves, [])
        placed = _column(marks, 1, _GAPS[0] * radius, alone, radius, spacing)
        if placed is None:
            raise NoRoomError(f"a frame of {frame} has no room for {len(marks)} labels in one column.")
        return placed
    return min(found, key=lambda labels: sum(map(_cost, marks, labels)))


def _crowds(marks: Sequence[Mark], near: float) -> List[List[int]]:
    """Numbers of the marks, those nearer than `near` in x in one list, from left to right."""
    crowds: List[List[int]] = []
    for number in sorted(range(len(marks)), key=lambda number: (marks[number].x, number)):
        if crowds and marks[number].x - marks[crowds[-1][-1]].x < near:
            crowds[-1].append(number)
        else:
            crowds.append([number])
    return crowds


def _place_crowds(
    marks: Sequence[Mark], crowds: Sequence[Sequence[int]], drawn: _Drawn, radius: float, spacing: float
) -> Optional[List[Label]]:
    """Labels of all marks, a crowd after the other; None if one finds no place."""
    places: List[Optional[Label]] = [None] * len(marks)
    for crowd in crowds:
        members = [marks[number] for number in crowd]
        columns = (_column(members, side, gap * radius, drawn, radius, spacing) for gap in _GAPS for side in (1, -1))
        found = [labels for labels in columns if labels is not None]
        if not found:
            return None
        best = min(found, key=lambda labels: sum(map(_cost, members, labels)))
        drawn.labels += best
        for number, label in zip(crowd, best):
            places[number] = label
    return [label for label in places if label is not None]


def _cost(mark: Mark, label: Label) -> float:
    """How far a label lies from its point."""
    return math.dist((mark.x, mark.y), _anchor(mark, label.box))


def _anchor(mark: Mark, box: Box) -> Place:
    """The middle of the edge of a label that is towards its point."""
    return (box.x0 if box.x0 > mark.x else box.x1), (box.y0 + box.y1) / 2


def _column(
    marks: Sequence[Mark], side: int, gap: float, drawn: _Drawn, radius: float, spacing: float
) -> Optional[List[Label]]:
    """Labels of a crowd in a column right (side 1) or left (-1) of it; None if there is no room for them."""
    edge = max(side * mark.x for mark in marks) * side + side * (radius + gap)
    width, height = max(mark.width for mark in marks), max(mark.height for mark in marks)

    def box_at(middle: float, wide: float) -> Box:
        ends = sorted((edge, edge + side * wide))
        return Box(ends[0], middle - height / 2, ends[1], middle + height / 2)

    wanted = sorted(mark.y for mark in marks)
    heights = np.arange(drawn.frame.y0 + height / 2, drawn.frame.y1 - height / 2, _STEP)
    widest = box_at(0, width)
    free = drawn.free_heights(widest.x0, widest.x1, height, np.unique(np.concatenate([heights, wanted])))
    slots = _slots(wanted, free, height + spacing)
    if slots is None:
        return None
    labels = []
    for mark, middle in zip(marks, _shortest(marks, edge, slots)):
        box = box_at(middle, mark.width)
        line = Line((mark.x, mark.y), _anchor(mark, box))
        is_beside = abs(middle - mark.y) < _LEVEL and abs(edge - mark.x) <= radius + _GAPS[0] * radius + _LEVEL
        labels.append(Label(box, None if is_beside else line))
    return labels if all(label.line is None or drawn.is_clear(label.line) for label in labels) else None


def _slots(wanted: Sequence[float], heights: np.ndarray, apart: float) -> Optional[List[float]]:
    """For each of the rising `wanted` one of the rising `heights`, `apart` from the next at least, least squares."""
    if not len(heights):
        return None
    ways: List[np.ndarray] = []
    costs = np.zeros(len(heights))
    for place, middle in enumerate(wanted):
        if place:
            last = np.searchsorted(heights, heights - apart + 1e-9, side="right") - 1
            way = _rising_argmin(costs)
            ways.append(np.where(last >= 0, way[np.maximum(last, 0)], -1))
            costs = np.where(ways[-1] >= 0, costs[ways[-1]], np.inf)
        costs = costs + np.square(heights - middle)
    chosen = [int(np.argmin(costs))]
    if not np.isfinite(costs[chosen[0]]):
        return None
    for way in reversed(ways):
        chosen.append(int(way[chosen[-1]]))
    return [float(heights[number]) for number in reversed(chosen)]


def _rising_argmin(costs: np.ndarray) -> np.ndarray:
    """For each place, where the least of the costs up to it stands."""
    is_new = costs <= np.minimum.accumulate(costs)
    return np.maximum.accumulate(np.where(is_new, np.arange(len(costs)), 0))


def _shortest(marks: Sequence[Mark], edge: float, slots: Sequence[float]) -> Iterator[float]:
    """The slot of each mark, so that the lines are shortest taken together."""
    lengths = [[math.dist((mark.x, mark.y), (edge, slot)) for slot in slots] for mark in marks]
    for number in linear_sum_assignment(lengths)[1]:
        yield slots[number]
