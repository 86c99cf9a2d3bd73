"""Changes of rate in bounded memory, for every pair of rates.

lhotse keeps a filter for each phase of the output: as many as the rates have when their common divisor is taken out.
For 11127 Hz to 16000 Hz that are 16000 filters of 11127 taps, gigabytes. Pairs like that are resampled by scipy, from
one filter for all phases; ordinary ones stay lhotse's.
"""

import math
from typing import List

import numpy as np
import torch
from lhotse import Recording
from lhotse.augmentation import AudioTransform, Resample, Speed
from lhotse.utils import fastcopy
from torch import Tensor

from icefall_discrete.audio.as_it_comes import AsItComes, Reach

# Of lhotse's filters together; 44100 to 16000 Hz has 70 thousand.
MAX_TAPS = 1 << 22
# Rates that audio of speech has; a header that says another is wrong.
LOWEST_HZ, HIGHEST_HZ = 2000, 400_000
# Half of the longest filter, in samples of the lower of two rates: 10 in scipy, 6 / 0.99 in lhotse.
_FILTER_REACH = 11


def _num_taps(from_hz: int, to_hz: int) -> int:
    common = math.gcd(from_hz, to_hz)
    return (from_hz // common) * (to_hz // common)


def resampled(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Samples (..., S) at another rate, by one filter for all phases."""
    from scipy.signal import resample_poly  # a second to import, and few rates need it

    common = math.gcd(from_hz, to_hz)
    return resample_poly(samples, to_hz // common, from_hz // common, axis=-1)


class BoundedResample(Resample):
    """lhotse's change of rate, by one filter for all phases."""

    def __call__(self, samples: np.ndarray, sampling_rate: int = 0) -> np.ndarray:
        """Samples (C, S) at the target rate, whatever `sampling_rate` says that the recording has in the end."""
        return resampled(samples, self.source_sampling_rate, self.target_sampling_rate)


class BoundedSpeed(Speed):
    """lhotse's change of speed, by one filter for all phases."""

    def __call__(self, samples: np.ndarray, sampling_rate: int) -> np.ndarray:
        """Samples (C, S) at the new speed."""
        return resampled(samples, round(sampling_rate * self.factor), sampling_rate)


def _bounded(step: AudioTransform, sample_rate_hz: int) -> AudioTransform:
    if isinstance(step, Resample) and _num_taps(step.source_sampling_rate, step.target_sampling_rate) > MAX_TAPS:
        return BoundedResample(step.source_sampling_rate, step.target_sampling_rate)
    if isinstance(step, Speed) and _num_taps(round(sample_rate_hz * step.factor), sample_rate_hz) > MAX_TAPS:
        return BoundedSpeed(step.factor)
    return step


def with_bounded_memory(recording: Recording) -> Recording:
    """The recording, whose changes of rate and speed need little memory when it is read."""
    if not recording.transforms:
        return recording
    steps: List[AudioTransform] = [
        step if isinstance(step, AudioTransform) else AudioTransform.from_dict(step) for step in recording.transforms
    ]
    return fastcopy(recording, transforms=[_bounded(step, recording.sampling_rate) for step in steps])


class Resampler:
    """Samples of one channel at another rate, as files are read. Raises ValueError for a rate that no audio has."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if not LOWEST_HZ <= from_hz <= HIGHEST_HZ:
            raise ValueError(f"the sample rate is {from_hz} Hz, expected {LOWEST_HZ} to {HIGHEST_HZ} Hz.")
        kind = Resample if _num_taps(from_hz, to_hz) <= MAX_TAPS else BoundedResample
        self._from_hz, self._to_hz, self._step = from_hz, to_hz, kind(from_hz, to_hz)

    def __call__(self, samples: Tensor) -> Tensor:
        """Map (S,) float32 to (S',) at the other rate."""
        return torch.from_numpy(self._step(samples.numpy()[None], self._from_hz)[0].astype(np.float32, copy=False))

    def as_it_comes(self) -> AsItComes:
        """The same for samples that come in pieces."""
        common = math.gcd(self._from_hz, self._to_hz)
        hop = self._from_hz // common
        reach = math.ceil(_FILTER_REACH * max(1.0, self._from_hz / self._to_hz))
        return AsItComes(self, Reach(hop, reach, reach), hop, self._to_hz // common)
