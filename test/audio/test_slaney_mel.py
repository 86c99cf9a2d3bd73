"""Mel filters against another library's."""

import numpy as np
import pytest
from transformers.audio_utils import mel_filter_bank

from icefall_discrete.audio.slaney_mel import mel_filters


@pytest.mark.parametrize(
    "fft_size, num_mel_bins, low_hz, high_hz",
    [(400, 80, 0.0, 8000.0), (400, 128, 0.0, 8000.0), (1024, 80, 80.0, 7600.0)],
)
def test_equal_to_transformers(fft_size, num_mel_bins, low_hz, high_hz):
    reference = mel_filter_bank(
        fft_size // 2 + 1, num_mel_bins, low_hz, high_hz, 16000, norm="slaney", mel_scale="slaney"
    )
    np.testing.assert_allclose(mel_filters(16000, fft_size, num_mel_bins, low_hz, high_hz), reference, atol=1e-8)
