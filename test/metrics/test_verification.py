import itertools
import math
import random

import numpy as np
import pytest

from icefall_discrete.metrics.bootstrap import bootstrap_interval
from icefall_discrete.metrics.verification import (
    decision_errors,
    equal_error_rate,
    least_cost,
    verification_intervals,
)


def counted(scores, together):
    """Misses and false alarms at thresholds below, between and above all scores, by counting."""
    levels = sorted(set(scores))
    found = []
    for threshold in [*levels, math.inf]:
        pairs = list(zip(scores, together))
        missed = sum(same and score < threshold for score, same in pairs) / sum(together)
        accepted = sum(not same and score >= threshold for score, same in pairs) / (len(pairs) - sum(together))
        found.append((threshold, missed, accepted))
    return found


@pytest.mark.parametrize(
    "same, other, eer",
    [
        ([0.9, 0.8], [0.2, 0.1], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 100.0),
        ([0.9, 0.4], [0.6, 0.1], 50.0),
        ([0.9, 0.8, 0.3], [0.5, 0.2, 0.1], 100 / 3),
        ([0.5, 0.5], [0.5, 0.5], 50.0),  # nothing is known: accept all or none
        ([0.9, 0.8, 0.7, 0.1], [0.6, 0.0], 25.0),  # threshold 0.6: 1/4 missed, 1/2 accepted; 0.7: 1/4 and none
    ],
)
def test_equal_error_rates_by_hand(same, other, eer):
    scores, together = [*same, *other], [True] * len(same) + [False] * len(other)
    assert equal_error_rate(scores, together) == pytest.approx(eer)


def test_errors_and_the_least_cost_are_those_of_counting():
    generator = random.Random(0)
    for num_same, num_other in itertools.product((1, 3, 5), (1, 2, 6)):
        scores = [round(generator.random(), 1) for _ in range(num_same + num_other)]
        together = [True] * num_same + [False] * num_other
        expected = counted(scores, together)
        found = decision_errors(scores, together)
        for column, wanted in zip(found, zip(*expected)):
            assert column.tolist() == pytest.approx(wanted)
        for prior, miss_cost in ((0.01, 1.0), (0.5, 2.0)):
            costs = [miss_cost * prior * missed + (1 - prior) * accepted for _, missed, accepted in expected]
            cost, threshold = least_cost(scores, together, prior, miss_cost)
            assert cost == pytest.approx(min(costs) / min(miss_cost * prior, 1 - prior))
            assert threshold == expected[costs.index(min(costs))][0] and cost <= 1.0
        low, high = [max(missed, accepted) for _, missed, accepted in expected], equal_error_rate(scores, together)
        assert high <= 100 * min(low) + 1e-9  # errors change evenly between thresholds


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ValueError, match="among 2 pairs there are none that belong together"):
        equal_error_rate([0.1, 0.2], [False, False])
    with pytest.raises(ValueError, match="2 scores for 1 pairs"):
        equal_error_rate([0.1, 0.2], [True])
    with pytest.raises(ValueError, match="score nan is not finite"):
        equal_error_rate([float("nan"), 0.2], [True, False])


def test_intervals_are_those_of_drawing_groups_of_trials_one_by_one():
    generator = random.Random(1)
    together = [number % 3 == 0 for number in range(40)]
    scores = [round(generator.gauss(1.0 if same else 0.0, 1.0), 1) for same in together]
    groups = [f"{'same' if same else 'other'}-{generator.randrange(4)}" for same in together]
    names = sorted(set(groups))

    def drawn_trials(drawn):
        chosen = [place for number in drawn for place in range(40) if groups[place] == names[number]]
        return [scores[place] for place in chosen], [together[place] for place in chosen]

    def figure(drawn, of):
        chosen = drawn_trials(drawn)
        return of(*chosen) if len(set(chosen[1])) == 2 else np.nan

    found = verification_intervals(scores, together, groups)
    expected = bootstrap_interval(len(names), lambda drawn: figure(drawn, equal_error_rate))
    assert found["eer"] == pytest.approx(expected)
    expected = bootstrap_interval(len(names), lambda drawn: figure(drawn, lambda *one: least_cost(*one)[0]))
    assert found["min_dcf"] == pytest.approx(expected)
