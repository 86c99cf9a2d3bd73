"""Audio in memory as a tokenizer wants it: what numpy, soundfile and torch give, scaled by its type."""

import dataclasses
from typing import Any, Callable, Dict

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.inference.audio_files import BadAudio

# Full scale of integer samples, by type; 8-bit samples of WAV files have no sign.
_SCALES: Dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "int16": lambda samples: samples.astype(np.float32) / 2**15,
    "int32": lambda samples: (samples.astype(np.float64) / 2**31).astype(np.float32),
    "uint8": lambda samples: (samples.astype(np.float32) - 128) / 2**7,
}


@dataclasses.dataclass(frozen=True)
class Samples:
    """Audio of one channel that was given in memory; id: what it is called. samples: (S,) float32."""

    id: str
    samples: Tensor
    sample_rate_hz: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples.numel() / self.sample_rate_hz


def as_samples(given: Any, name: str) -> Tensor:
    """Samples (S,) float32 in [-1, 1].

    Args:
      given: a numpy array, a tensor or a list of numbers, of one channel: floats in [-1, 1] of any precision, or
        integers of 16, 32 or (unsigned) 8 bits, which are divided by their full scale. name: what errors call it.
    Raises:
      BadAudio: for several channels, and for what is no such numbers.
    """
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = (given.float() if given.is_floating_point() else given).numpy()
    try:
        array = np.asarray(given)
    except ValueError as error:  # lists of different lengths
        raise BadAudio(f"{name}: cannot be read as samples: {error}.") from error
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise BadAudio(f"{name}: has the shape {array.shape}; expected samples of one channel, (S,).")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is named later
            return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if array.dtype.name not in _SCALES:
        raise BadAudio(
            f"{name}: has samples of type {array.dtype.name}; expected floats in [-1, 1], or {', '.join(_SCALES)}."
        )
    return torch.from_numpy(np.ascontiguousarray(_SCALES[array.dtype.name](array)))
