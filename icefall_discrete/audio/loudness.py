"""How loud audio is: level, clipping, and how far speech stands above what is between it."""

import math
from typing import NamedTuple

import numpy as np

FRAME_SEC = 0.025
SILENT_DB = -60.0  # full scale is 0 dB; a quiet room recorded with 16 bits lies about there
_FLOOR = 1e-10  # of power: -100 dB
_LOUD_PERCENT, _QUIET_PERCENT = 95, 10
_CLIPPED_PEAK, _AT_PEAK, _CLIPPED_SAMPLES = 0.98, 0.999, 10


class Loudness(NamedTuple):
    """Of some samples.

    level_db: root mean square, in dB of full scale. loud_db: of the loud frames (the 95th percentile of 25 ms).
    snr_db: how far these lie above the quiet ones (the 10th percentile): an estimate of the ratio of speech to noise,
    too low where there is no pause. clipped: samples at the peak, if there are many and the peak is full scale; else 0.
    """

    level_db: float
    loud_db: float
    snr_db: float
    clipped: int

    @property
    def is_silent(self) -> bool:
        """Whether even the loud frames are below `SILENT_DB`."""
        return self.loud_db < SILENT_DB


def _db(power: float) -> float:
    return 10.0 * math.log10(max(power, _FLOOR))


def loudness_of(samples: np.ndarray, sample_rate_hz: int) -> Loudness:
    """Measure samples (S,) in [-1, 1], at least one.

    Raises:
      ValueError: if there is none.
    """
    if not len(samples):
        raise ValueError("audio of 0 samples has no loudness, expected at least 1.")
    power = samples.astype(np.float64) ** 2
    step = max(1, round(FRAME_SEC * sample_rate_hz))
    whole = len(power) // step * step
    frames = power[:whole].reshape(-1, step).mean(axis=1) if whole else power.mean(keepdims=True)
    loud, quiet = (_db(float(np.percentile(frames, percent))) for percent in (_LOUD_PERCENT, _QUIET_PERCENT))
    peak = float(np.abs(samples).max())
    at_peak = int((np.abs(samples) >= _AT_PEAK * peak).sum()) if peak >= _CLIPPED_PEAK else 0
    return Loudness(_db(float(power.mean())), loud, loud - quiet, at_peak if at_peak >= _CLIPPED_SAMPLES else 0)
