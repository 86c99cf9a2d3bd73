import math

import numpy as np
import pytest

from icefall_discrete.metrics.code_usage import CodeUsage, bytes_per_hour, nominal_bits_per_second


def test_even_use_has_the_perplexity_of_its_entries():
    usage = CodeUsage([8, 4])
    usage.add(np.stack([np.arange(8), np.arange(8) % 2], axis=1).astype(np.int16))
    first, second = usage.codebooks()
    assert first == pytest.approx((1.0, 3.0, 8.0))
    assert second == pytest.approx((0.5, 1.0, 2.0))
    assert usage.entropy_bits_per_frame == pytest.approx(4.0) and usage.num_frames == 8
    assert usage.summary()["fraction_used_min"] == pytest.approx(0.5)


def test_uneven_use_against_the_formula_and_counts_over_several_arrays():
    usage = CodeUsage([3])
    for part in ([0, 0, 0], [0, 1, 1], [2, 0]):
        usage.add(np.array(part, dtype=np.int32)[:, None])
    assert usage.counts()[0].tolist() == [5, 2, 1]
    entropy = -sum(p * math.log2(p) for p in (5 / 8, 2 / 8, 1 / 8))
    assert usage.codebooks()[0] == pytest.approx((1.0, entropy, 2**entropy))


def test_many_codebooks_are_counted_apart():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, (200, 80))
    usage = CodeUsage([16] * 80)
    usage.add(codes)
    for k, counts in enumerate(usage.counts()):
        assert counts.tolist() == np.bincount(codes[:, k], minlength=16).tolist()


def test_nothing_and_one_id():
    usage = CodeUsage([5])
    assert usage.codebooks() == [(0.0, 0.0, 1.0)]
    usage.add(np.full((4, 1), 3))
    assert usage.codebooks()[0] == pytest.approx((0.2, 0.0, 1.0))


@pytest.mark.parametrize("codes", [[[5]], [[-1]]])
def test_ids_out_of_range_are_refused(codes):
    with pytest.raises(ValueError, match=r"ids range from .*, codebook sizes are \[5\]"):
        CodeUsage([5]).add(np.array(codes))
    with pytest.raises(ValueError, match=r"codes are \(1, 2\), expected \(T, 1\)"):
        CodeUsage([5]).add(np.zeros((1, 2), int))


def test_published_bit_rates():
    """arXiv 2309.07377, Table 1: WavLM km2000 0.55, EnCodec 6.00, vq-wav2vec 1.66 kbit/s."""
    assert nominal_bits_per_second(50, [2000]) == pytest.approx(548.3, abs=0.1)
    assert nominal_bits_per_second(75, [1024] * 8) == pytest.approx(6000)
    assert nominal_bits_per_second(100, [320, 320]) == pytest.approx(1664.4, abs=0.1)
    assert bytes_per_hour(100, 1800.0) == 200
    with pytest.raises(ValueError, match="expected more than 0"):
        bytes_per_hour(1, 0.0)
