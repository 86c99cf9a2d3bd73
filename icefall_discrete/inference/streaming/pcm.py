"""Raw samples as programs hand them on: s16le, signed 16-bit little-endian, one channel."""

import io
import signal
from typing import Any, Iterator

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.samples import as_samples

SAMPLE_BYTES = 2


def pcm_pieces(source: io.BufferedIOBase, num_samples: int, name: str) -> Iterator[Tensor]:
    """Samples (S,) float32 of a file or pipe of s16le as they come, at most `num_samples` at once.

    Nothing that came waits for what did not come yet, so that none of it is lost where reading is interrupted.
    Raises BadAudio, after the whole samples, if it ends within one.
    """
    half = b""
    while data := source.read1(num_samples * SAMPLE_BYTES):
        data = half + data
        whole = len(data) // SAMPLE_BYTES * SAMPLE_BYTES
        half = data[whole:]
        if whole:
            yield as_samples(np.frombuffer(data[:whole], dtype="<i2").astype(np.int16), name)
    if half:
        raise BadAudio(
            f"{name}: ends within a sample, after an odd number of bytes; expected s16le, two bytes a sample "
            "(sox -t s16 -c 1, ffmpeg -f s16le -ac 1)."
        )


def until_interrupted(source: Iterator[Tensor]) -> Iterator[Tensor]:
    """Pieces as they come; the first Ctrl-C ends them, as if no more came, and the second is what it ever is.

    Whoever speaks into a microphone ends so, and what was said is to be heard to its end. In the midst of a chunk the
    interrupt waits for it, and while nothing comes it waits for nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # whoever ignores it, or has other plans, goes on so
        yield from source
        return
    is_waiting = is_over = False

    def end(*_: Any) -> None:
        nonlocal is_over
        is_over = True
        signal.signal(signal.SIGINT, before)
        if is_waiting:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, end)
    try:
        while not is_over:
            try:
                is_waiting = True
                piece = next(source)
                is_waiting = False
            except (StopIteration, KeyboardInterrupt):
                return
            yield piece
    finally:
        signal.signal(signal.SIGINT, before)


def pieces(samples: Tensor, num_samples: int) -> Iterator[Tensor]:
    """The samples (S,), `num_samples` at once; none of no samples."""
    yield from torch.split(samples, num_samples) if len(samples) else ()
