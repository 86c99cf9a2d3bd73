"""The chart: a PNG, the same for the same rows, whose labels overlap nothing."""

import matplotlib.figure
import pytest
from matplotlib.text import Text

from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.results.chart import Point, draw_chart, points_of

NAMES = {"fbank": 256000, "dmel": 12800, "encodec": 6000, "mfcc_km500": 448, "fbank_km500": 448, "whisper_km500": 448}


def _points():
    return [
        Point(name, "default (cpu)", bits, {"wer": 60.0 + number}, {"wer": (58.0 + number, 62.0 + number)})
        for number, (name, bits) in enumerate(NAMES.items())
    ]


def test_same_rows_same_picture(tmp_path):
    for name in ("a.png", "b.png"):
        draw_chart(tmp_path / name, _points(), [metric_named("wer")], "title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_labels_lie_in_the_picture_and_on_no_other(tmp_path, monkeypatch):
    figures = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure, *args, **options):
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    draw_chart(tmp_path / "a.png", _points(), [metric_named("wer")], "title")
    axis = figures[0].axes[0]
    boxes = {label.get_text(): Text.get_window_extent(label) for label in axis.texts}
    assert set(boxes) == {f"{name} {60 + number:.1f}" for number, name in enumerate(NAMES)}
    frame = figures[0].bbox
    for name, box in boxes.items():
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1, name
        assert not [other for other in boxes if other != name and box.overlaps(boxes[other])], name


def test_lines_to_labels_cross_no_label_and_no_point_is_cut(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda figure, *args, **options: figures.append(figure))
    rates = [448, 448, 448, 450, 470, 500, 448, 460]
    points = [
        Point(f"feature_type_{number}", "default (cpu)", bits, {"wer": 100.0 - 0.4 * number}, {})
        for number, bits in enumerate(rates)
    ]
    draw_chart(tmp_path / "a.png", points, [metric_named("wer")], "title")
    axis = figures[0].axes[0]
    figures[0].draw_without_rendering()
    assert axis.get_ylim()[1] > 105
    boxes = [Text.get_window_extent(label) for label in axis.texts]
    led = [label for label in axis.texts if label.arrow_patch is not None]
    assert len(led) > 2
    for label in led:
        (start, *_, end) = label.arrow_patch.get_path().transformed(label.arrow_patch.get_transform()).vertices
        line = matplotlib.path.Path([start, end])
        own = Text.get_window_extent(label)
        crossed = [box for box in boxes if box.bounds != own.bounds and line.intersects_bbox(box, filled=False)]
        assert not crossed, label.get_text()


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no result has a CER"):
        draw_chart(tmp_path / "a.png", _points(), [metric_named("wer"), metric_named("cer")], "title")
    assert not list(tmp_path.iterdir())


def test_rows_without_bit_rate_or_without_the_split_are_left_out():
    scored = {"test": {"wer": {"rate": 50.0, "interval": [48.0, 52.0]}, "cer": None}}
    whole = {"feature_type": "a", "recipe": "r", "device": "cpu", "sets": scored, "features": {"bits_per_second": 10}}
    rows = [whole, {**whole, "features": {}}, {**whole, "sets": {"dev": {}}}]
    assert points_of(rows, "test") == [Point("a", "r (cpu)", 10, {"wer": 50.0}, {"wer": (48.0, 52.0)})]
