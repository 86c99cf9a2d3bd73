"""Distances of magnitude and of mel spectra of several windows, as codecs are compared by.

Both are what the Descript audio codec's evaluation and Codec-SUPERB call mel and STFT distance, so that their figures
can stand beside ours: for windows of 2048 and 512 samples, a quarter of a window from frame to frame, the mean
difference of the common logarithm of the power (floor 1e-5 of the magnitude) plus that of the magnitude itself; the sum
over the windows. They depend on level and rate of the audio, so that figures at different rates are no pair.
"""

from typing import Tuple

import numpy as np

from icefall_discrete.audio.slaney_mel import mel_filters
from icefall_discrete.metrics.signals.pairs import Pair

# Window in samples, and its mel bins.
WINDOWS: Tuple[Tuple[int, int], ...] = ((2048, 150), (512, 80))
FLOOR = 1e-5


def magnitudes(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Magnitude spectra (T, window // 2 + 1) of samples (S,), Hann windows centred on multiples of `hop`."""
    padded = np.pad(samples, window // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1]))


def _difference(reference: np.ndarray, estimate: np.ndarray) -> float:
    logs = 2.0 * np.abs(np.log10(np.maximum(reference, FLOOR)) - np.log10(np.maximum(estimate, FLOOR)))
    return float(logs.mean() + np.abs(reference - estimate).mean())


def stft_distance(pair: Pair) -> float:
    """Distance of magnitude spectra, 0 for equal signals; no unit."""
    total = 0.0
    for window, _ in WINDOWS:
        reference, estimate = (magnitudes(one, window, window // 4) for one in (pair.reference, pair.estimate))
        total += _difference(reference, estimate)
    return total


def mel_distance(pair: Pair) -> float:
    """Distance of mel spectra (Slaney's filters), 0 for equal signals; no unit."""
    total = 0.0
    for window, bins in WINDOWS:
        filters = mel_filters(pair.sample_rate_hz, window, bins, 0.0, pair.sample_rate_hz / 2).numpy()
        reference, estimate = (magnitudes(one, window, window // 4) for one in (pair.reference, pair.estimate))
        total += _difference(reference @ filters, estimate @ filters)
    return total
