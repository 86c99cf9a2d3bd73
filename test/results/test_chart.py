"""The chart: a PNG, the same for the same rows, in which everything is whole and nothing lies upon anything."""

import itertools
from pathlib import Path

import matplotlib.figure
import pytest
from matplotlib.text import Text

from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.results.chart import Point, draw_chart, points_of
from icefall_discrete.results.drawing import LEADER, colours_of
from icefall_discrete.results.feature_kinds import FEATURE_KINDS, feature_kind, origins_in
from icefall_discrete.results.page import compared

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"fbank": 256000, "dmel": 12800, "encodec": 6000, "mfcc_km500": 448, "fbank_km500": 448, "whisper_km500": 448}
WER, CER = metric_named("wer"), metric_named("cer")


def _points(lowest=60.0):
    return [
        Point(name, "default (cpu)", FEATURE_KINDS[number % 4], bits, {"wer": rate}, {"wer": (rate - 2, rate + 2)})
        for number, (name, bits) in enumerate(NAMES.items())
        for rate in [lowest + number]
    ]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw points; the figure."""

    def draw(points, panels, title="title"):
        figures = []
        with monkeypatch.context() as patch:
            patch.setattr(matplotlib.figure.Figure, "savefig", lambda figure, *_, **options: figures.append(figure))
            draw_chart(tmp_path / "a.png", points, panels, title)
        return figures[0]

    return draw


def _extents(axis):
    """Boxes of the labels of an axis, by text."""
    return {label.get_text(): Text.get_window_extent(label) for label in axis.texts}


def test_same_rows_same_picture(tmp_path):
    for name in ("a.png", "b.png"):
        draw_chart(tmp_path / name, _points(), [WER], "title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_heading_lies_within_the_picture(drawn):
    for number in (3, 30):
        figure = drawn(_points(), [WER], " ".join(["heading"] * number))
        (heading,) = (one for one in figure.findobj(Text) if one.get_text().startswith("heading"))
        box = heading.get_window_extent()
        assert len(heading.get_text().split()) == number and ("\n" in heading.get_text()) == (number == 30)
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height


def test_labels_lie_in_the_picture_and_upon_nothing(drawn):
    figure = drawn(_points(), [WER])
    axis = figure.axes[0]
    boxes = _extents(axis)
    assert set(boxes) == {f"{name} {60 + number:.1f}" for number, name in enumerate(NAMES)}
    others = [line.get_window_extent() for line in axis.get_lines() if line.get_marker() not in (None, "None")]
    for name, box in boxes.items():
        assert axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 and axis.bbox.y0 <= box.y0 and box.y1 <= axis.bbox.y1
        assert not [other for other in boxes if other != name and box.overlaps(boxes[other])], name
        assert not [other for other in others if box.overlaps(other)], name


def test_points_at_the_edges_are_whole(drawn):
    points = [*_points(lowest=0.0), Point("worst", "default (cpu)", FEATURE_KINDS[0], 10, {"wer": 250.0}, {})]
    figure = drawn(points, [WER])
    axis = figure.axes[0]
    marks = [line for line in axis.lines if line.get_marker() not in (None, "None")]
    assert len(marks) == len(points)
    for mark in marks:
        assert not mark.get_clip_on()
        box = mark.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= axis.bbox.y1


def test_points_of_one_bit_rate_stand_side_by_side(drawn):
    points = [
        Point(f"feature_type_{number}", "default", FEATURE_KINDS[3], bits, {"wer": rate}, {"wer": (rate - 3, rate + 3)})
        for number, (bits, rate) in enumerate([(448, 30.0), (448, 30.1), (448, 31.0), (449, 33.0), (16000, 30.0)])
    ]
    axis = drawn(points, [WER]).axes[0]
    boxes = [line.get_window_extent() for line in axis.get_lines() if line.get_marker() not in (None, "None")]
    assert len(boxes) == 5 and not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    places = [line.get_xdata()[0] for line in axis.get_lines() if line.get_marker() not in (None, "None")]
    assert places[0] == pytest.approx(0.448) and places[4] == pytest.approx(16)
    assert all(one == pytest.approx(0.448, rel=0.5) for one in places[:4])
    ticks = axis.xaxis.get_major_locator().tick_values(*axis.get_xlim())
    assert min(ticks) >= 0.448 / 3 and max(ticks) <= 48


def test_many_points_make_the_panels_higher_and_no_lines_cross(drawn):
    points = [
        Point(f"feature_type_{number}", f"recipe_{number % 3}", FEATURE_KINDS[3], bits, {"wer": 40 - 0.3 * number}, {})
        for number, bits in enumerate([448, 450, 470, 500, 448, 460] * 6)
    ]
    figure = drawn(points, [WER])
    assert figure.get_figheight() > 7
    axis = figure.axes[0]
    assert len(_extents(axis)) == len(points)
    lines = [artist.get_path() for artist in axis.lines if artist.get_gid() == LEADER]
    assert len(lines) > 20
    for one, other in itertools.combinations(lines, 2):
        assert not one.intersects_path(other, filled=False)


def test_a_colour_a_recipe_a_shape_a_kind_and_legends_of_both(drawn):
    bits = {"fbank": 256000, "dmel": 12800, "asterisk_codec": 1600, "mfcc_km500": 448, "whisper_tiny_km500": 448}
    rates = {"rate": 30.0, "interval": [25.0, 35.0]}
    own = [
        {
            "feature_type": name,
            "recipe": recipe,
            "device": "cpu",
            "features": {"kind": "continuous" if name == "fbank" else "codes", "bits_per_second": of_it},
            "sets": {"test": {"wer": {**rates, "rate": 30.0 + number}, "cer": {**rates, "interval": None}}},
        }
        for number, (name, of_it) in enumerate(bits.items())
        for recipe in ("default", "full")
    ]
    figure = drawn(points_of(own, "test", [ROOT / "egs/asterisk/ASR/conf/features"]), [WER, CER])
    recipes, kinds = figure.legends
    assert {text.get_text() for text in recipes.get_texts()} == {f"{row['recipe']} ({row['device']})" for row in own}
    assert {text.get_text() for text in kinds.get_texts()} >= set(FEATURE_KINDS[:4])
    assert not recipes.get_window_extent().overlaps(kinds.get_window_extent())
    for box in (recipes.get_window_extent(), kinds.get_window_extent()):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
    many = [f"recipe {number}" for number in range(40)]
    assert len(set(colours_of(many).values())) == 40


def test_kinds_are_told_from_the_spec():
    assert origins_in({"tokenizer": "fbank"}) == origins_in({"tokenizer": "dmel"}) == ["spectrum"]
    assert origins_in({"tokenizer": "whisper_kmeans"}) == origins_in({"tokenizer": "trained_hubert"}) == ["encoder"]
    assert origins_in({"tokenizer": "trained_codec"}) == origins_in({"tokenizer": "mimi"}) == ["codec"]
    base = {"provenance": {"tokenizer": "mfcc_kmeans"}}
    assert origins_in({"tokenizer": "unit_bpe", "base": base}) == ["spectrum"]
    views = {"a": base, "b": {"provenance": {"tokenizer": "ssl_kmeans"}}}
    assert origins_in({"tokenizer": "multi_view", "views": views}) == ["encoder", "spectrum"]
    assert origins_in({"tokenizer": "concat_kmeans", "sources": {"0_ssl": {}, "1_mfcc": {}}}) == ["encoder", "spectrum"]
    assert origins_in({"tokenizer": "of_tomorrow"}) == []


@pytest.mark.parametrize(
    "feature_type, features, kind",
    [
        ("mine", {"kind": "codes", "origins": ["codec"]}, "tokens of a codec"),
        ("mine", {"kind": "codes", "origins": ["codec", "encoder"]}, "of several kinds"),
        ("mine", {"kind": "codes"}, "of a kind not noted"),
        ("fbank", {"kind": "continuous"}, "continuous spectrum"),
        ("mfcc_km500+hubert_base_l6_km100", {"kind": "codes"}, "of several kinds"),
        ("mhubert_l11_km1000_rm", {"kind": "codes"}, "tokens of a pretrained encoder"),
    ],
)
def test_kind_of_a_result_is_noted_or_that_of_its_feature_type(feature_type, features, kind):
    assert feature_kind({"feature_type": feature_type, "features": features}) == kind


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no result has a CER"):
        draw_chart(tmp_path / "a.png", _points(), [WER, CER], "title")
    assert not list(tmp_path.iterdir())


def test_rows_without_bit_rate_or_without_the_split_are_left_out():
    scored = {"test": {"wer": {"rate": 50.0, "interval": [48.0, 52.0]}, "cer": None}}
    features = {"kind": "codes", "origins": ["codec"], "bits_per_second": 10}
    whole = {"feature_type": "a", "recipe": "r", "device": "cpu", "sets": scored, "features": features}
    rows = [whole, {**whole, "features": {}}, {**whole, "sets": {"dev": {}}}]
    expected = Point("a", "r (cpu)", "tokens of a codec", 10, {"wer": 50.0}, {"wer": (48.0, 52.0)})
    assert points_of(rows, "test") == [expected]


def test_recipes_of_several_feature_types_and_the_default_one_are_compared():
    def row(recipe, feature_type, device="cpu"):
        return {"recipe": recipe, "device": device, "feature_type": feature_type}

    def names(rows):
        return [(group[0]["recipe"], len(group)) for group in compared(rows)]

    few = [row("labels_10", "fbank"), row("labels_10", "dmel")]
    assert names([row("default", "dmel"), *few, row("units", "dmel")]) == [("default", 1), ("labels_10", 2)]
    assert names([row("full", "dmel"), row("units", "dmel")]) == [("full", 1), ("units", 1)]
