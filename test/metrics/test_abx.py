"""ABX: the figures of fastabx on a recorded case, of a plain count, and what is no item."""

import itertools

import numpy as np
import pytest

from icefall_discrete.metrics.abx import AbxItem, abx_error, items_of, warped_distances
from icefall_discrete.metrics.warping import mean_on_best_paths

SPEAKERS, PHONES, CONTEXTS = ["s1"] * 12 + ["s2"] * 12 + ["s3"] * 12, ["a", "b", "c"] * 12, ["c1", "c2"] * 18


# Values of fastabx's own test of a small case (tests/test_regression.py): 36 items of one frame, drawn with seed 2026.
@pytest.mark.parametrize(
    ("distance", "expected"),
    [("euclidean", 0.4913194353381793), ("angular", 0.4809027786056201), ("identical", 0.5)],
)
def test_across_speakers_it_is_what_fastabx_gives(distance, expected):
    features = np.random.default_rng(2026).standard_normal((36, 6)).astype(np.float32)
    if distance == "identical":
        features = (np.arange(36) % 4)[:, None]
    items = [
        AbxItem(one[None], phone, (context, ""), speaker)
        for one, phone, context, speaker in zip(features, PHONES, CONTEXTS, SPEAKERS)
    ]
    found = abx_error(items, distance, across=True)
    assert found.percent == pytest.approx(100 * expected, abs=1e-4)
    assert found.num_cells == 2 * 6 * 6 and found.num_triples == 72 * 8


def plain_path(costs: np.ndarray) -> float:
    """Mean on the best path, cell by cell."""
    sums = {(0, 0): (costs[0, 0], 1)}
    for i, j in np.ndindex(*costs.shape):
        before = [sums[way] for way in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if way in sums]
        if before:
            total, steps = min(before, key=lambda way: way[0])
            sums[i, j] = (total + costs[i, j], steps + 1)
    total, steps = sums[costs.shape[0] - 1, costs.shape[1] - 1]
    return total / steps


@pytest.mark.parametrize("levels", [2, 1000])
def test_paths_of_many_pairs_are_those_of_each_alone(levels):
    generator = np.random.default_rng(0)
    costs = generator.integers(0, levels, (30, 7, 9)).astype(float)
    rows, columns = generator.integers(1, 8, 30), generator.integers(1, 10, 30)
    found = mean_on_best_paths(costs, rows, columns)
    assert found == pytest.approx([plain_path(one[:m, :n]) for one, m, n in zip(costs, rows, columns)])


def test_within_speakers_it_is_a_plain_count():
    generator = np.random.default_rng(3)
    items = [
        AbxItem(generator.integers(0, 3, (generator.integers(2, 5), 1)), phone, ("x", "y"), speaker)
        for speaker, phone, _ in itertools.product("st", "ab", range(3))
    ]
    errors = []
    for phone, other in ("ab", "ba"):
        each = []
        for speaker in "st":
            a, b = (
                [one.frames for one in items if (one.phone, one.speaker) == (name, speaker)] for name in (phone, other)
            )
            wrong = []
            for (i, x), (j, mine), theirs in itertools.product(enumerate(a), enumerate(a), b):
                if i != j:
                    gap = plain_path((x != mine.T).astype(float)) - plain_path((x != theirs.T).astype(float))
                    wrong.append((1 + np.sign(gap)) / 2)
            each.append(np.mean(wrong))
        errors.append(np.mean(each))
    assert abx_error(items, "identical").percent == pytest.approx(100 * np.mean(errors))


def test_units_of_their_phones_have_no_error_and_others_chance():
    generator = np.random.default_rng(5)
    right = [AbxItem(np.full((3, 1), i % 2), "ab"[i % 2], ("x", "y"), "s") for i in range(12)]
    assert abx_error(right, "identical").percent == 0.0
    none = [one._replace(frames=generator.standard_normal((4, 8))) for one in right]
    assert abx_error(none, "angular").percent == pytest.approx(50, abs=20)
    assert abx_error(right, "identical", across=True).percent is None  # one speaker
    with pytest.raises(ValueError, match="unknown distance 'cosine'; known: angular, euclidean, identical"):
        abx_error(right, "cosine")


def test_items_are_labels_with_their_neighbours_where_no_pause_lies_between():
    frames = np.arange(20)[:, None]
    segments = [(0.0, 0.1, "a"), (0.1, 0.2, "b"), (0.2, 0.3, "c"), (0.35, 0.4, "d")]
    (item,) = items_of(frames, 50.0, segments, "s")
    assert (item.phone, item.context, item.speaker) == ("b", ("a", "c"), "s")
    assert item.frames[:, 0].tolist() == list(range(15))
    assert warped_distances(
        [frames[:3]], [frames[:3], frames[5:7]], lambda x, y: np.abs(x - y.swapaxes(1, 2))
    ).shape == (1, 2)
