"""Unit edit distance against a plain dynamic programme, and what must not change it."""

import itertools

import numpy as np
import pytest

from icefall_discrete.metrics.unit_edit_distance import UnitEditDistance, edit_distance, without_repetitions


def plain_distance(a, b):
    """Levenshtein distance by its recurrence."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def test_every_short_pair_agrees_with_the_recurrence():
    short = [units for size in range(4) for units in itertools.product(range(3), repeat=size)]
    for a, b in itertools.product(short, repeat=2):
        assert edit_distance(np.array(a, dtype=np.int16), np.array(b, dtype=np.int16)) == plain_distance(a, b), (a, b)


def test_long_streams_agree_with_the_recurrence():
    rng = np.random.default_rng(0)
    distance = UnitEditDistance(2)
    clean, noisy = rng.integers(0, 6, (40, 2)), rng.integers(0, 6, (37, 2))
    distance.add(clean, noisy)
    for k, stream in enumerate(distance.streams):
        assert (stream.edits, stream.units) == (plain_distance(clean[:, k], noisy[:, k]), 40)
        short = [[u for i, u in enumerate(x[:, k]) if i == 0 or u != x[i - 1, k]] for x in (clean, noisy)]
        assert stream.edits_without_repetitions == plain_distance(*short)
        assert stream.units_without_repetitions == len(short[0])
    assert distance.percent == pytest.approx(np.mean([100 * s.edits / 40 for s in distance.streams]))


def test_runs_become_one_unit():
    for size in range(6):
        for units in itertools.product(range(2), repeat=size):
            assert without_repetitions(np.array(units, dtype=int)).tolist() == [u for u, _ in itertools.groupby(units)]


def test_a_boundary_that_moves_costs_only_with_repetitions():
    distance = UnitEditDistance(1)
    distance.add(np.array([[1], [1], [2], [2]]), np.array([[1], [2], [2], [2]]))
    assert distance.percent == 25.0
    assert distance.percent_without_repetitions == 0.0


def test_a_corpus_weighs_utterances_by_their_length():
    distance = UnitEditDistance(1)
    distance.add(np.arange(9)[:, None], np.arange(9)[:, None])
    distance.add(np.array([[1]]), np.array([[2]]))
    assert distance.percent == distance.percent_without_repetitions == 10.0


def test_equal_codes_have_no_distance_and_many_insertions_pass_100():
    same, more = UnitEditDistance(3), UnitEditDistance(1)
    codes = np.random.default_rng(1).integers(0, 1000, (50, 3))
    same.add(codes, codes.astype(np.int32))
    assert same.percent == same.percent_without_repetitions == 0.0
    more.add(np.array([[1]]), np.arange(2, 6)[:, None])
    assert more.percent == 400.0


def test_other_numbers_of_streams_and_nothing_are_refused():
    with pytest.raises(ValueError, match=r"noisy codes are \(4, 1\), expected \(T, 2\)"):
        UnitEditDistance(2).add(np.zeros((4, 2)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="at least one clean unit"):
        print(UnitEditDistance(1).percent)
