"""Accuracies by hand, their intervals, and confusions."""

import pytest

from icefall_discrete.metrics.classification import accuracy, accuracy_intervals, balanced_accuracy, confusions

PAIRS = [("a", "a"), ("a", "a"), ("a", "b"), ("b", "b"), ("c", None)]


def test_by_hand():
    assert accuracy(PAIRS) == pytest.approx(60.0)
    assert balanced_accuracy(PAIRS) == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    assert confusions(PAIRS) == {"a": {"a": 2, "b": 1}, "b": {"b": 1}, "c": {"none": 1}}


def test_nothing_has_no_accuracy():
    for figure in (accuracy, balanced_accuracy):
        with pytest.raises(ValueError, match="at least one utterance"):
            figure([])


def test_intervals_hold_their_figures_and_shrink_with_more_utterances():
    few, many = accuracy_intervals(PAIRS * 4), accuracy_intervals(PAIRS * 100)
    for name, figure in (("accuracy", accuracy), ("balanced_accuracy", balanced_accuracy)):
        low, high = many[name]
        assert low < figure(PAIRS) < high and high - low < few[name][1] - few[name][0]
    assert many["accuracy"][1] - many["accuracy"][0] == pytest.approx(2 * 1.96 * 100 * (0.24 / 500) ** 0.5, rel=0.1)


def test_where_all_is_right_the_interval_is_a_point():
    assert accuracy_intervals([("a", "a"), ("b", "b")] * 5)["accuracy"] == (100.0, 100.0)
