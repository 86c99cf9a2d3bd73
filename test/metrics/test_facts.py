"""Facts of figures: found in their modules, shown with unit and decimals, best by direction."""

import pytest

from icefall_discrete.metrics.facts import (
    Metric,
    first_metric,
    known_metrics,
    leading_metrics,
    metric_named,
    metrics_of,
)

UP = Metric("up", "Up", "quality", "", unit="", higher_is_better=True, decimals=2)
ROWS = [{"sets": {"test": {"cer": {"rate": 1.0}, "wer": {"rate": 2.0}, "language_id": {"rate": 3.0}, "other": 4}}}]


def test_figures_are_found_in_their_modules_and_by_name():
    assert {"wer", "cer", "language_id"} <= set(known_metrics())
    assert metric_named("wer").head == "WER %" and metric_named("wer").direction == "lower is better"
    assert metric_named("language_id").direction == "higher is better"
    assert metric_named("wer").axis_title == "WER, % (lower is better)" and UP.axis_title == "Up (higher is better)"
    assert metric_named("wer").kinds == "Error rates" and metric_named("accuracy").kinds == "Accuracies"
    with pytest.raises(ValueError, match="unknown metric 'words'; known: "):
        metric_named("words")


def test_a_value_is_read_below_its_name_or_plain():
    assert (UP.of({"up": {"rate": 1.5}}), UP.of({"up": {"value": 1.5}}), UP.of({"up": 1.5})) == (1.5, 1.5, 1.5)
    assert UP.of({}) is None and UP.of(None) is None and UP.shown(None) == UP.with_interval({}) == ""
    assert UP.with_interval({"up": {"value": 1.5, "interval": [1.25, 1.75]}}) == "1.50 ± 0.25"
    assert UP.shown(1.5, more_decimals=1) == "1.500" and UP.head == "Up"


def test_an_interval_ends_where_its_figure_does():
    assert metric_named("accuracy").possible(77.0, 106.0) == (77.0, 100.0)
    assert metric_named("wer").possible(-1.0, 106.0) == (0.0, 106.0)
    assert UP.possible(-1.0, 106.0) == (-1.0, 106.0)


def test_the_best_follows_the_direction():
    assert UP.best([1.0, None, 3.0]) == 3.0 and metric_named("wer").best([1.0, None, 3.0]) == 1.0
    assert UP.best([None]) is None


def test_rows_say_which_figures_a_page_has_and_what_stands_aside_comes_last():
    assert [metric.name for metric in metrics_of(ROWS)] == ["wer", "cer", "language_id"]
    assert [metric.name for metric in leading_metrics(ROWS)] == ["wer", "cer"]
    assert first_metric(ROWS).name == "wer"
    with pytest.raises(ValueError, match="none of the figures"):
        first_metric([{"sets": {"test": {"other": 1}}}])
