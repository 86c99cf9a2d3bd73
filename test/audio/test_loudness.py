"""Levels, clipping and the distance of speech to what is between it, of signals whose figures are known."""

import numpy as np
import pytest

from icefall_discrete.audio.loudness import loudness_of

RATE = 16000


def test_a_tone_with_noise_between():
    rng = np.random.default_rng(0)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    noise = 0.005 * rng.standard_normal(2 * RATE)
    found = loudness_of(np.concatenate([tone, np.zeros(RATE)]) + noise, RATE)
    assert found.loud_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.2)
    assert found.snr_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2) / 0.005), abs=1.0)
    assert not found.clipped and not found.is_silent
    assert found.level_db == pytest.approx(found.loud_db - 3.0, abs=0.1)


def test_clipped_and_silent():
    loud = np.clip(3 * np.sin(np.arange(RATE) / 10), -1, 1)
    assert loudness_of(loud, RATE).clipped > RATE / 2
    assert not loudness_of(loud / 2, RATE).clipped
    assert loudness_of(np.zeros(10), RATE).is_silent and loudness_of(0.0005 * loud, RATE).is_silent
    with pytest.raises(ValueError, match="0 samples"):
        loudness_of(np.zeros(0), RATE)
