"""STOI: how much of speech can be understood, from the correlation of short-time envelopes in third-octave bands.

Taal et al. 2011, "An algorithm for intelligibility prediction of time-frequency weighted noisy speech". The settings
are those of its section II; frames of the reference that are 40 dB below its loudest are taken out of both signals.
Numbers equal those of pystoi 0.4.1 on audio at 10 kHz; other rates are brought there by another filter, which moves the
third digit.
"""

from typing import Optional, Tuple

import numpy as np

from icefall_discrete.audio.resampling import resampled
from icefall_discrete.metrics.signals.pairs import Pair

RATE_HZ = 10000
_FRAME, _HOP, _FFT = 256, 128, 512
_BANDS, _LOWEST_HZ = 15, 150.0
_SEGMENT = 30  # frames, 384 ms
_CLIP_DB, _RANGE_DB = 15.0, 40.0
_TINY = np.finfo(np.float64).eps
_WINDOW = np.hanning(_FRAME + 2)[1:-1]


def stoi(pair: Pair) -> Optional[float]:
    """Short-time objective intelligibility, at most 1; None for less than 30 frames (0.4 s) of speech."""
    reference, estimate = (
        one if pair.sample_rate_hz == RATE_HZ else resampled(one, pair.sample_rate_hz, RATE_HZ)
        for one in (pair.reference, pair.estimate)
    )
    reference, estimate = _without_silence(reference, estimate)
    if len(reference) < _FRAME:
        return None
    bands = _third_octaves()
    clean, degraded = (np.sqrt(_power(one) @ bands) for one in (reference, estimate))
    if len(clean) < _SEGMENT:
        return None
    clean, degraded = (np.lib.stride_tricks.sliding_window_view(one, _SEGMENT, axis=0) for one in (clean, degraded))
    level = _norm(clean) / (_norm(degraded) + _TINY)
    clipped = np.minimum(degraded * level, clean * (1.0 + 10.0 ** (_CLIP_DB / 20)))
    return float((_unit(clipped) * _unit(clean)).sum(axis=-1).mean())


def _norm(segments: np.ndarray) -> np.ndarray:
    return np.linalg.norm(segments, axis=-1, keepdims=True)


def _unit(segments: np.ndarray) -> np.ndarray:
    centred = segments - segments.mean(axis=-1, keepdims=True)
    return centred / (_norm(centred) + _TINY)


def _frames(samples: np.ndarray) -> np.ndarray:
    """Windowed frames (T, 256) of samples (S,), but for one that ends with them, as the authors' code has it."""
    if len(samples) <= _FRAME:
        return np.zeros((0, _FRAME))
    return np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[:-1:_HOP] * _WINDOW


def _without_silence(reference: np.ndarray, estimate: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Both signals put together again from the frames in which the reference is loud enough."""
    clean, degraded = _frames(reference), _frames(estimate)
    energy_db = 20.0 * np.log10(np.linalg.norm(clean, axis=1) + _TINY)
    loud = energy_db > energy_db.max(initial=-np.inf) - _RANGE_DB
    return _overlapped(clean[loud]), _overlapped(degraded[loud])


def _overlapped(frames: np.ndarray) -> np.ndarray:
    """Samples ((T + 1) x 128,) of frames (T, 256), each half a frame behind the one before."""
    halves = np.zeros((2, len(frames) + 1, _HOP))
    halves[0, :-1], halves[1, 1:] = frames[:, :_HOP], frames[:, _HOP:]
    return halves.sum(axis=0).ravel()


def _power(samples: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(_frames(samples), _FFT)) ** 2


def _third_octaves() -> np.ndarray:
    """(257, 15): which bins of the spectrum each band sums."""
    frequencies = np.linspace(0.0, RATE_HZ, _FFT + 1)[: _FFT // 2 + 1]
    bands = np.zeros((len(frequencies), _BANDS))
    for band in range(_BANDS):
        edges = [_LOWEST_HZ * 2.0 ** ((2 * band + side) / 6) for side in (-1, 1)]
        low, high = (int(np.abs(frequencies - edge).argmin()) for edge in edges)
        bands[low:high, band] = 1.0
    return bands
