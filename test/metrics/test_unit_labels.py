"""What units say of labels: PNMI and purities, boundaries, text information, on cases that can be counted by hand."""

import numpy as np
import pytest

from icefall_discrete.metrics.boundaries import Boundaries, changes, matched
from icefall_discrete.metrics.text_information import text_information
from icefall_discrete.metrics.unit_labels import UnitLabels, label_scores, normalised_information

LABELS = np.random.default_rng(0).integers(0, 8, 4000)
NAMES = [chr(ord("a") + label) for label in LABELS]


def figures_of(units, names, size):
    counted = UnitLabels([size])
    counted.add(np.asarray(units)[:, None], names)
    return counted.codebooks()[0]


def test_labels_tell_all_of_themselves_and_shuffled_ones_what_chance_tells():
    same = figures_of(LABELS, NAMES, 8)
    assert (same.pnmi, same.label_purity, same.cluster_purity) == (pytest.approx(1.0), 1.0, 1.0)
    assert (same.num_frames, same.num_units, same.num_labels) == (4000, 8, 8)
    shuffled = figures_of(np.random.default_rng(7).permutation(LABELS), NAMES, 8)
    assert shuffled.pnmi == pytest.approx(shuffled.pnmi_by_chance, abs=0.003)
    # The mean of an empirical information without dependence, (K - 1)(Y - 1) / 2N nats, as part of ln 8.
    assert shuffled.pnmi_by_chance == pytest.approx(49 / 8000 / np.log(8), rel=0.3)


def test_chance_grows_with_units_and_a_unit_of_two_labels_tells_less():
    few = figures_of(np.random.default_rng(1).integers(0, 8, 4000), NAMES, 8)
    many = figures_of(np.random.default_rng(1).integers(0, 500, 4000), NAMES, 500)
    assert many.pnmi > 10 * few.pnmi and many.pnmi == pytest.approx(many.pnmi_by_chance, abs=0.02)
    halved = figures_of(LABELS // 2, NAMES, 4)
    assert halved.pnmi == pytest.approx(2 / 3, abs=0.01) and halved.cluster_purity == 1.0
    assert 0.5 < halved.label_purity < 0.56


def test_information_of_counts_is_that_of_the_formula():
    counts = np.array([[3, 1], [0, 4]])
    expected = (3 * np.log(2) + np.log(0.4) + 4 * np.log(1.6)) / 8
    entropy = -(3 * np.log(3 / 8) + 5 * np.log(5 / 8)) / 8
    assert normalised_information(counts) == pytest.approx(expected / entropy)


def test_the_codebook_that_tells_most_stands_for_all_and_frames_without_label_are_counted():
    counted = UnitLabels([4, 8])
    codes = np.stack([np.zeros(4000, dtype=np.int16), LABELS.astype(np.int16)], axis=1)
    counted.add(codes, [*NAMES[:-1], None])
    first, second = counted.codebooks()
    assert counted.num_unlabelled == 1 and first.num_frames == 3999 and first.pnmi == 0.0
    assert label_scores([first, second])["pnmi"]["value"] == pytest.approx(second.pnmi, abs=1e-5)


def test_labels_that_cannot_be_counted_are_named():
    counted = UnitLabels([4])
    with pytest.raises(ValueError, match=r"codes are \(3, 1\) with 2 labels, expected \(T, 1\) and T labels"):
        counted.add(np.zeros((3, 1), int), ["a", "b"])
    counted.add(np.zeros((2, 1), int), [None, None])
    with pytest.raises(ValueError, match="none of 2 frames has a label: alignment and codes have no frames in common"):
        counted.codebooks()
    counted.add(np.zeros((1, 1), int), ["a"])
    with pytest.raises(ValueError, match="all 1 frames are labelled 'a'; expected two labels"):
        counted.codebooks()


def test_boundaries_are_matched_once_within_the_tolerance():
    assert changes(np.array([5, 5, 7, 7, 7, 5]), 50.0).tolist() == [0.04, 0.1]
    assert matched([0.10, 0.20], [0.11, 0.12, 0.23]) == 1
    assert matched([0.10, 0.12], [0.11, 0.13]) == 2
    counted = Boundaries()
    counted.add([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4])
    assert (counted.f1, counted.r_value) == (1.0, 1.0)
    many = Boundaries()
    many.add([0.1, 0.2, 0.3, 0.4], [step / 100 for step in range(50)])
    # All are hit, with 46 too many: a recall of 1 that the R-value does not reward.
    assert many.recall == 1.0 and many.r_value == pytest.approx(1 - (11.5 + 11.5 / 2**0.5) / 2)
    few = Boundaries()
    few.add([0.1, 0.2, 0.3, 0.4], [0.1, 0.2])
    assert few.scores() == {"boundary_f1": {"rate": 66.667}, "boundary_r": {"rate": 64.645}}


def test_text_information_is_the_mean_over_pairs():
    scores = np.log(np.array([[0.5, 0.25], [0.125, 0.5]]))
    assert text_information(scores).bits == pytest.approx((0 + 1 + 2 + 0) / 4)
    with_impossible = text_information(np.array([[-1.0, -np.inf], [-2.0, -1.0]]))
    assert with_impossible.num_impossible == 1 and with_impossible.bits == pytest.approx(1 / 3 / np.log(2))
    with pytest.raises(ValueError, match=r"utterance 1 \(from 0\): its text has no alignment"):
        text_information(np.array([[-1.0, -1.0], [-2.0, -np.inf]]))
    with pytest.raises(ValueError, match=r"are \(1, 1\), expected \(N, N\), N 2 at least"):
        text_information(np.zeros((1, 1)))
