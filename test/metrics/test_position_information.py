import numpy as np
import pytest

from icefall_discrete.metrics.position_information import PositionInformation


def test_codes_that_are_the_time_tell_nothing_else():
    measure = PositionInformation([40], frame_rate_hz=5.0)
    for _ in range(200):
        measure.add(np.arange(30)[:, None])
    assert measure.fraction_of_entropy == pytest.approx(1.0, abs=0.02)


def test_codes_drawn_without_regard_to_time_tell_no_time_even_where_counts_are_few():
    rng = np.random.default_rng(0)
    measure = PositionInformation([500], frame_rate_hz=50.0)
    for _ in range(100):
        measure.add(rng.integers(0, 500, (300, 1)))
    assert measure.fraction_of_entropy < 0.02


def test_half_the_bits_and_codebooks_summed():
    rng = np.random.default_rng(1)
    measure = PositionInformation([8, 16], frame_rate_hz=5.0)
    for _ in range(500):
        time = np.arange(16)
        # First codebook: 3 bits of noise. Second: the time, 4 bits for 16 frames.
        measure.add(np.stack([rng.integers(0, 8, 16), time], axis=1))
    assert measure.fraction_of_entropy == pytest.approx(4 / 7, abs=0.02)


def test_frames_after_the_last_bin_are_left_out_and_nothing_is_zero():
    measure = PositionInformation([4], frame_rate_hz=50.0)
    assert measure.fraction_of_entropy == 0.0
    measure.add(np.concatenate([np.zeros((300, 1), np.int64), np.full((500, 1), 3)]))
    assert measure.fraction_of_entropy == 0.0
