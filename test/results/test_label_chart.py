"""Figures against hours of labels: a line a feature type, of recipes that differ in their share of the labels."""

import pytest

from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.results.label_chart import draw_label_chart, label_curves, label_section, recipe_of_all

WER, CER = metric_named("wer"), metric_named("cer")


def row(feature_type, recipe, hours, wer, **more):
    scored = {"wer": {"rate": wer, "interval": [wer - 3, wer + 3]}}
    features = {"kind": "codes", "origins": ["spectrum"]}
    training = {"label_hours": hours, "epochs": 15}
    whole = {"feature_type": feature_type, "recipe": recipe, "device": "cpu", "sets": {"test": scored}}
    return {**whole, "features": features, "training": training, **more}


ROWS = [
    row("fbank", "default", 1.4, 30.0),
    row("fbank", "labels_10", 0.14, 90.0),
    row("fbank", "labels_50", 0.7, 45.0),
    row("dmel", "default", 1.4, 40.0),
    row("dmel", "default_labels-0.5", 0.7, 60.0),
    row("mfcc_km500", "default", 1.4, 42.0),
    row("fbank", "full", 1.4, 25.0),
    row("fbank", "labels_10", 0.14, 10.0, search="greedy_search"),
    row("fbank", "quick", None, 70.0),
]


def test_lines_are_of_a_feature_type_and_a_recipe_with_several_amounts():
    curves = label_curves(ROWS, "test")
    assert [(curve.label, [hours for hours, _ in curve.rows]) for curve in curves] == [
        ("fbank", [0.14, 0.7, 1.4]),
        ("dmel", [0.7, 1.4]),
    ]
    assert {curve.kind for curve in curves} == {"tokens of the spectrum"}
    more = label_curves([*ROWS, row("fbank", "full_labels_10", 0.14, 80.0)], "test")
    assert [curve.label for curve in more] == ["fbank, default (cpu)", "dmel, default (cpu)", "fbank, full (cpu)"]
    assert recipe_of_all("labels_10") == recipe_of_all("default") == "default"


def test_same_rows_same_picture_and_a_table_beside_it(tmp_path):
    curves = label_curves(ROWS, "test")
    for name in ("a.png", "b.png"):
        draw_label_chart(tmp_path / name, curves, [WER], "test", "title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    section = label_section(curves, [WER], "test", "results/a.png")
    assert "| fbank | labels_10 | 0.14 | 15 | 90.0 ± 3.0 |" in section and "](results/a.png)" in section
    with pytest.raises(ValueError, match="no result with hours of labels has a CER"):
        draw_label_chart(tmp_path / "c.png", curves, [CER], "test", "title")
