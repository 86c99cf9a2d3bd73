"""Samples to audio files, whole or not at all."""

import io
from pathlib import Path

import numpy as np
import soundfile

from icefall_discrete.base.atomic_files import write_bytes


def write_flac(path: Path, samples: np.ndarray, sample_rate_hz: int) -> None:
    """Write samples (S,), int16 or floats in [-1, 1], which are clipped to that, as a FLAC file of 16 bits."""
    encoded = io.BytesIO()  # libsndfile says nothing of a full disk
    soundfile.write(encoded, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    write_bytes(path, encoded.getvalue())


def holds_samples(path: Path, num_samples: int) -> bool:
    """Whether an audio file is there and has so many samples by its header."""
    try:
        return path.is_file() and soundfile.info(path).frames == num_samples
    except soundfile.LibsndfileError:
        return False
