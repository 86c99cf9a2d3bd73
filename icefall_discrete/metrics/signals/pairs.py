"""Two signals that say the same at the same time, brought over each other to the sample.

Codecs and vocoders come early or late by up to a frame, which a waveform distance takes for noise (a codec shifted by
a few milliseconds has an SI-SDR below 0 dB and half of its STOI). So the lag is found first, by cross-correlation.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import correlate, correlation_lags

MAX_LAG_SEC = 0.05
# Longer or shorter than the reference by more than this, an utterance was said at another speed, or is another one.
MAX_LENGTH_CHANGE = 0.2


class Pair(NamedTuple):
    """reference, estimate: (S,) float64 of equal length. lag_sec: by how much the estimate came late."""

    reference: np.ndarray
    estimate: np.ndarray
    sample_rate_hz: int
    lag_sec: float


def checked(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples (S,) as float64. Raises ValueError, which calls them `name`, if there are none, or none that sound."""
    found = np.asarray(samples, dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(
            f"{name} has the shape {found.shape}, expected one channel (S,); mix or choose channels first."
        )
    if not len(found):
        raise ValueError(f"{name} holds no samples; make it again.")
    wrong = int((~np.isfinite(found)).sum())
    if wrong:
        raise ValueError(f"{name}: {wrong} of {len(found)} samples are NaN or infinite; make it again.")
    return found


def _sounding(samples: np.ndarray, name: str) -> np.ndarray:
    found = checked(samples, name)
    if not found.any():
        raise ValueError(
            f"{name} is silent: all of its {len(found)} samples are 0, so that there is nothing to measure."
        )
    return found


def aligned(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, max_lag_sec: float = MAX_LAG_SEC) -> Pair:
    """Shift `estimate` (S',) to where it correlates most with `reference` (S,), and cut both to what they share.

    Args:
      sample_rate_hz: of both. max_lag_sec: the most that is looked for, early or late; 0: not shifted.
    Raises:
      ValueError: for samples that are missing, NaN or infinite, a reference without sound, a rate below 1, or lengths
        that differ by more than a fifth.
    """
    reference, estimate = _sounding(reference, "the reference"), checked(estimate, "the estimate")
    if sample_rate_hz < 1:
        raise ValueError(f"the sample rate is {sample_rate_hz} Hz, expected a positive number.")
    if abs(len(estimate) - len(reference)) > MAX_LENGTH_CHANGE * len(reference):
        raise ValueError(
            f"the estimate lasts {len(estimate) / sample_rate_hz:.2f} s, the reference "
            f"{len(reference) / sample_rate_hz:.2f} s: expected the same utterance at the same pace and rate; for "
            "speech of another pace ask for what needs no common time."
        )
    lag = _lag(reference, estimate, round(max_lag_sec * sample_rate_hz))
    estimate_from, reference_from = max(lag, 0), max(-lag, 0)
    shared = min(len(estimate) - estimate_from, len(reference) - reference_from)
    if shared < 1:
        raise ValueError(
            f"reference ({len(reference)} samples) and estimate ({len(estimate)}) share none at a lag of {lag}."
        )
    return Pair(
        reference[reference_from : reference_from + shared],
        estimate[estimate_from : estimate_from + shared],
        sample_rate_hz,
        lag / sample_rate_hz,
    )


def _lag(reference: np.ndarray, estimate: np.ndarray, most: int) -> int:
    """The lag in samples, at most `most` early or late, with the greatest cross-correlation; the least of equals."""
    most = min(most, len(reference) - 1, len(estimate) - 1)
    if most < 1:
        return 0
    lags = correlation_lags(len(estimate), len(reference))
    found = correlate(estimate, reference, method="fft")
    near = np.abs(lags) <= most
    lags, found = lags[near], found[near]
    greatest = found.max()
    return int(min(lags[found >= greatest - 1e-9 * abs(greatest)], key=abs))
