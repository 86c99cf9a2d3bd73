"""Raw samples as programs hand them on: s16le, signed 16-bit little-endian, one channel."""

from typing import BinaryIO, Iterator

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.samples import as_samples

SAMPLE_BYTES = 2


def pcm_pieces(source: BinaryIO, num_samples: int, name: str) -> Iterator[Tensor]:
    """Samples (S,) float32 of a file or pipe of s16le, `num_samples` at once, as they come.

    Raises BadAudio, after the whole samples, if it ends within one.
    """
    while True:
        data = source.read(num_samples * SAMPLE_BYTES)
        whole = len(data) // SAMPLE_BYTES * SAMPLE_BYTES
        if whole:
            yield as_samples(np.frombuffer(data[:whole], dtype="<i2").astype(np.int16), name)
        if whole < len(data):
            raise BadAudio(
                f"{name}: ends within a sample, after an odd number of bytes; expected s16le, two bytes a sample "
                "(sox -t s16 -c 1, ffmpeg -f s16le -ac 1)."
            )
        if not data:
            return


def pieces(samples: Tensor, num_samples: int) -> Iterator[Tensor]:
    """The samples (S,), `num_samples` at once; none of no samples."""
    yield from torch.split(samples, num_samples) if len(samples) else ()
