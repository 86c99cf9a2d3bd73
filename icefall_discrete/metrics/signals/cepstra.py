"""MCD: how far two utterances are in smoothed log spectra, whatever their level and pace, in dB.

The cosine transform of log mel amplitudes stands for the mel cepstrum, of which no part of level is kept (c1 to c24),
and frames are brought together by dynamic time warping, as Kominek, Schultz and Black 2008 ("Synthesizer voice quality
of new languages calibrated with mean mel cepstral distortion") and most toolkits have it. Mel cepstra of WORLD
envelopes give other values: compare with figures that were computed here.
"""

import math

import numpy as np
from scipy.fft import dct
from scipy.spatial.distance import cdist

from icefall_discrete.audio.slaney_mel import mel_filters
from icefall_discrete.metrics.signals.spectra import magnitudes
from icefall_discrete.metrics.warping import mean_on_best_paths

ORDER = 24
_MEL_BINS = 80
_WINDOW_SEC, _HOP_SEC = 0.032, 0.01
_RANGE_DB = 60.0  # below its loudest band a signal is silent
_DB = 10.0 * math.sqrt(2.0) / math.log(10.0)


def mel_cepstrum(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """c1 to c24 (T, 24) of samples (S,), natural logarithm of amplitudes, a frame every 10 ms."""
    window, hop = 2 * round(_WINDOW_SEC * sample_rate_hz / 2), round(_HOP_SEC * sample_rate_hz)
    size = 1 << (window - 1).bit_length()
    filters = mel_filters(sample_rate_hz, size, _MEL_BINS, 0.0, sample_rate_hz / 2).numpy()
    amplitudes = magnitudes(samples, size, hop) @ filters
    least = max(amplitudes.max() * 10.0 ** (-_RANGE_DB / 20), np.finfo(np.float64).tiny)
    return dct(np.log(np.maximum(amplitudes, least)), type=2, axis=1)[:, 1 : ORDER + 1] / _MEL_BINS


def mel_cepstral_distortion(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """Mean over the best warping path of 10 / ln 10 x sqrt(2 x sum of squared differences), in dB; 0 for equal ones.

    Args:
      reference: (S,). estimate: (S',). sample_rate_hz: of both.
    """
    distances = cdist(mel_cepstrum(reference, sample_rate_hz), mel_cepstrum(estimate, sample_rate_hz))
    rows, columns = (np.array([size]) for size in distances.shape)
    return _DB * float(mean_on_best_paths(distances[None], rows, columns)[0])
