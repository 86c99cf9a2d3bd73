"""Raw samples as programs hand them on: s16le, signed 16-bit little-endian, one channel."""

import io
import select
import signal
import threading
import time
from typing import Any, Iterable, Iterator, List

import numpy as np
import torch
from torch import Tensor

from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.samples import as_samples

SAMPLE_BYTES = 2
# How often it is looked whether Ctrl-C was pressed, while nothing comes.
_POLL_SEC = 0.1
# How long more is waited for after it: what records ends by the same Ctrl-C, but writes its last samples before.
_GRACE_SEC = 0.5
# Bytes that are heard after it at most: a full pipe of Linux, and as much that waited to be written. A file would be
# read to its end otherwise, and a program that Ctrl-C does not end for ever.
_MOST_AFTER = 2**17


def pcm_pieces(source: Iterable[bytes], name: str) -> Iterator[Tensor]:
    """Samples (S,) float32 of s16le that comes in parts, which may end within a sample.

    Nothing that came waits for what did not come yet, so that none of it is lost where reading is interrupted.
    Raises BadAudio, after the whole samples, if the last part ends within one.
    """
    half = b""
    for data in source:
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


def until_interrupted(source: io.BufferedIOBase, num_bytes: int) -> Iterator[bytes]:
    """What comes through a file or pipe, at most `num_bytes` at once; the first Ctrl-C ends it, the second is as ever.

    Whoever speaks into a microphone ends so, and what was said is to be heard to its end. In the midst of a chunk the
    interrupt waits for it; then comes what is in the pipe by now, and what is still written within a short while. Where
    Ctrl-C is ignored, or somebody has other plans with it, it stays so, and so it does outside of the main thread,
    which alone is told of signals.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield from iter(lambda: source.read1(num_bytes), b"")
        return
    is_over = False

    def end(*_: Any) -> None:  # it raises nothing: what is being read, or was read just now, would be lost
        nonlocal is_over
        is_over = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, end)
    try:
        while not is_over:
            if _has_come(source, _POLL_SEC):
                data = source.read1(num_bytes)
                if not data:
                    return
                yield data
    finally:
        signal.signal(signal.SIGINT, before)
    yield from _rest(source, num_bytes)


def _rest(source: io.BufferedIOBase, num_bytes: int) -> List[bytes]:
    """What is still heard after an interrupt; read at once, since what is recognised meanwhile lets more come."""
    rest, left, end = [], _MOST_AFTER, time.monotonic() + _GRACE_SEC
    while left > 0 and _has_come(source, max(0.0, end - time.monotonic())):
        data = source.read1(min(num_bytes, left))
        if not data:
            break
        rest.append(data)
        left -= len(data)
    return rest


def _has_come(source: io.BufferedIOBase, wait_sec: float) -> bool:
    """Whether reading would not wait, after `wait_sec` at most. `read1` leaves nothing in the buffer of `source`."""
    try:
        return bool(select.select([source], [], [], wait_sec)[0])
    except io.UnsupportedOperation:  # bytes in memory are there
        return True


def pieces(samples: Tensor, num_samples: int) -> Iterator[Tensor]:
    """The samples (S,), `num_samples` at once; none of no samples."""
    yield from torch.split(samples, num_samples) if len(samples) else ()
