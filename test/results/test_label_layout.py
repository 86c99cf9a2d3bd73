"""The law of labels: nothing lies upon anything, no two lines cross, all is inside; over points at random."""

import itertools
import random

import pytest

from icefall_discrete.results import label_layout
from icefall_discrete.results.label_layout import Box, Line, Mark, place_labels, room_beside, room_needed

RADIUS, SPACING = 9.0, 3.0


def hold_to_the_law(marks, labels, frame, curves=()):
    assert len(labels) == len(marks)
    covered = [box for mark in marks for box in mark.boxes(RADIUS)]
    for mark, label in zip(marks, labels):
        assert frame.holds(label.box)
        assert (label.box.x1 - label.box.x0, label.box.y1 - label.box.y0) == pytest.approx((mark.width, mark.height))
        assert not any(label.box.overlaps(box) for box in covered)
        assert not any(curve.meets(label.box) for curve in curves)
        if label.line:
            assert label.line.start == (mark.x, mark.y)
        else:
            assert abs((label.box.y0 + label.box.y1) / 2 - mark.y) < 3
    for one, other in itertools.permutations(labels, 2):
        assert not one.box.overlaps(other.box)
        assert not (one.line and one.line.meets(other.box))
        assert not (one.line and other.line and one.line.crosses(other.line))


def points_at_random(seed):
    """Few to many points, crowds at some places, bars, and a frame with the room that was asked for."""
    draw = random.Random(seed)
    places = [draw.uniform(0, 500) for _ in range(draw.randint(1, 6))]
    marks = []
    for _ in range(draw.randint(1, 24)):
        x = draw.choice(places) if draw.random() < 0.8 else draw.uniform(0, 500)
        y, bar = draw.uniform(0, 400), draw.choice((0, 0, 35))
        marks.append(Mark(x, y, y - bar, y + bar, draw.uniform(40, 190), 14.0))
    beside = room_beside(marks, RADIUS)
    return marks, Box(-beside, 0, 500 + beside, max(400, room_needed(marks, SPACING)))


@pytest.mark.parametrize("seed", range(25))
def test_labels_of_points_at_random_keep_the_law(seed):
    marks, frame = points_at_random(seed)
    labels = place_labels(marks, frame, RADIUS, SPACING)
    hold_to_the_law(marks, labels, frame)
    assert labels == place_labels(marks, frame, RADIUS, SPACING)


@pytest.mark.parametrize("seed", range(25))
def test_labels_keep_clear_of_curves(seed):
    marks, frame = points_at_random(seed)
    draw = random.Random(seed)
    ends = [((one.x, one.y), (other.x, other.y)) for one, other in (draw.choices(marks, k=2) for _ in range(6))]
    curves = [Line(*pair) for pair in ends]
    hold_to_the_law(marks, place_labels(marks, frame, RADIUS, SPACING, curves), frame, curves)


def test_a_label_that_would_lie_upon_a_curve_stands_elsewhere():
    mark, frame = Mark(250, 50, 50, 50, 80, 14.0), Box(0, 0, 300, 100)
    (before,) = place_labels([mark], frame, RADIUS, SPACING)
    curve = Line((0, 50), (250, 50))
    (behind,) = place_labels([mark], frame, RADIUS, SPACING, [curve])
    assert curve.meets(before.box) and not curve.meets(behind.box)


@pytest.mark.parametrize("seed", range(25))
def test_one_column_at_the_edge_keeps_it_too(seed, monkeypatch):
    monkeypatch.setattr(label_layout, "_place_crowds", lambda *_: None)
    marks, frame = points_at_random(seed)
    hold_to_the_law(marks, place_labels(marks, frame, RADIUS, SPACING), frame)


def test_points_upon_each_other_have_their_labels():
    marks = [Mark(100, 50, 40, 60, 80, 14.0)] * 6
    frame = Box(0, 0, 300, room_needed(marks, SPACING))
    hold_to_the_law(marks, place_labels(marks, frame, RADIUS, SPACING), frame)


def test_a_label_alone_stands_beside_its_point_without_a_line():
    mark = Mark(100, 50, 45, 55, 60, 14.0)
    (label,) = place_labels([mark], Box(0, 0, 300, 100), RADIUS, SPACING)
    assert label.line is None and label.box.y0 + label.box.y1 == 100


def test_a_frame_without_room_is_refused():
    marks = [Mark(100, y, y, y, 60, 14.0) for y in range(10)]
    with pytest.raises(ValueError, match="has no room for 10 labels"):
        place_labels(marks, Box(0, 0, 300, 60), RADIUS, SPACING)


def test_lines_that_touch_do_not_cross():
    line = Line((0, 0), (10, 10))
    assert line.crosses(Line((0, 10), (10, 0)))
    assert not line.crosses(Line((0, 0), (10, 0)))
    assert not line.crosses(Line((5, 0), (10, 4)))
    assert line.meets(Box(4, 3, 6, 8)) and not line.meets(Box(6, 0, 9, 5)) and not line.meets(Box(10, 10, 12, 12))
