"""How much audio a file holds, by decoding where its header does not know; a difference is made good, or named.

By soundfile and numpy alone: lhotse_reader.py makes lhotse read files this way.
"""

import functools
import io
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Optional, Tuple

import numpy as np
import soundfile

from icefall_discrete.audio.containers import (
    Samples,
    announced_samples,
    logged_difference,
    mp3_length,
    ogg_fault,
)

# Between what is announced and what is held: a frame of MP3. lhotse's own half second would hide half a word.
TOLERANCE_SEC = 0.05
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1000, 768000
_BLOCK_FRAMES, _MOST_FRAMES_AT_ONCE = 1 << 16, 1 << 20  # a header may announce any number
_UNKNOWN_FRAMES = (1 << 63) - 1  # libsndfile's SF_COUNT_MAX
# An MP3 without a length is guessed at from its first frames and its size; a size this many times larger than the file
# makes every guess too long, so that all is decoded.
_STRETCH = 64
_HEAD_FRAME_SEC = 0.25
_ADVICE = "fetch the file again, or convert it anew if this is all there is"


class BadSoundFile(ValueError):
    """A file that holds other audio than its header announces; the message says what is wrong, without its name."""


class Held(NamedTuple):
    """Samples in each channel that can be decoded, their rate, and whether the usual reader decodes all of them."""

    frames: int
    rate_hz: int
    channels: int
    is_usual: bool


class _Endless(io.BytesIO):
    """The bytes of a file that says it is much longer; behind its end there is silence to be found by seeking only."""

    _is_behind = False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._is_behind = whence == 2
        return super().seek(_STRETCH * len(self.getbuffer()) + offset) if whence == 2 else super().seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        if self._is_behind:
            buffer[:] = bytes(len(buffer))
            return len(buffer)
        return super().readinto(buffer)


def _decode_to_end(stream: soundfile.SoundFile, expected: int = 0) -> Tuple[np.ndarray, Optional[str]]:
    """Samples (S, C) float32 until the file ends, and the error that it ends with; `expected` are announced."""
    block_frames = min(expected, _MOST_FRAMES_AT_ONCE) + _BLOCK_FRAMES
    blocks, fault, size = [], None, block_frames
    while size == block_frames:
        block = np.full((block_frames, stream.channels), np.nan, np.float32)
        try:
            size = len(stream.read(out=block))
        except soundfile.LibsndfileError as error:
            # What was decoded before is there; no format that ends like this has NaN among its samples.
            fault, size = error.error_string, int(np.count_nonzero(~np.isnan(block[:, 0])))
        blocks.append(block[:size])
        if fault is not None:
            break
    return np.concatenate(blocks), fault


def _opened_without_length(path: Path, kind: str) -> BinaryIO:
    """The file in memory, with a header by which it can be read to its end."""
    data = bytearray(path.read_bytes())
    if kind == "FLAC":
        first = data.find(b"fLaC")  # behind the tags that some writers put first
        data[first + 21] &= 0xF0  # the 36 bits of the number of samples
        data[first + 22 : first + 26] = bytes(4)
        return io.BytesIO(data)
    if kind == "MP3":
        return _Endless(bytes(data))
    samples = announced_samples(path)
    assert samples is not None
    order = ">" if data[:4] == b"RIFX" else "<"
    struct.pack_into(f"{order}I", data, samples.start - 4, samples.held)
    return io.BytesIO(data)


def _decode_whole(path: Path, kind: str) -> np.ndarray:
    """Samples (S, C) float32 of a file of unknown length, or of one in which libsndfile cannot seek."""
    with soundfile.SoundFile(path) as stream:
        is_known = stream.frames > 0 and not stream.seekable()
    with soundfile.SoundFile(path if is_known else _opened_without_length(path, kind)) as stream:
        samples, fault = _decode_to_end(stream)
    # A FLAC file of unknown length that is whole ends in a failed search for more.
    if fault is not None and not (kind == "FLAC" and "psf_fseek" in fault):
        raise BadSoundFile(f"it is damaged or cut short after {len(samples) / stream.samplerate:.2f} s; {_ADVICE}")
    return samples


def _require_near(announced: float, held: float, unit: str, per_sec: float) -> None:
    if abs(announced - held) > TOLERANCE_SEC * per_sec:
        raise BadSoundFile(
            f"it holds less or more audio than its header announces: {held:.0f} {unit} ({held / per_sec:.2f} s) of "
            f"{announced:.0f} ({announced / per_sec:.2f} s); {_ADVICE}"
        )


def _of_container(path: Path, stream: soundfile.SoundFile, samples: Optional[Samples]) -> Held:
    """A format whose header says how many bytes of samples follow."""
    frames, rate = stream.frames, stream.samplerate
    if samples is None:
        difference = logged_difference(stream.extra_info)
        if difference is not None:
            announced, held = difference
            _require_near(announced, held, "bytes", held * rate / max(1, frames))
        return Held(frames, rate, stream.channels, True)
    if samples.is_stream:
        return Held(frames, rate, stream.channels, True)
    if samples.announced == 0 and samples.loose > 0 and stream.format.startswith("WAV"):
        return Held(len(_decode_whole(path, stream.format)), rate, stream.channels, False)
    held = min(samples.announced, samples.held)
    bytes_per_sec = held * rate / frames if frames else 1.0
    _require_near(samples.announced, held + samples.loose, "bytes", bytes_per_sec)
    return Held(frames, rate, stream.channels, True)


def _of_mp3(path: Path, stream: soundfile.SoundFile) -> Held:
    frames, rate = stream.frames, stream.samplerate
    length = mp3_length(path)
    if length is None:
        held = len(_decode_whole(path, "MP3"))
        is_usual = abs(held - frames) <= TOLERANCE_SEC * rate
        return Held(frames if is_usual else held, rate, stream.channels, is_usual)
    if length.announced == 0 or length.held < length.announced:
        # Some writers count the tags, or do not say; decoding tells.
        _require_near(frames, len(_decode_to_end(stream, frames)[0]), "samples", rate)
    elif length.goes_on and frames:
        bytes_per_sec = length.announced * rate / frames
        # Some writers do not count the frame that says the length.
        if length.held - length.announced > _HEAD_FRAME_SEC * bytes_per_sec:
            _require_near(length.announced, length.held, "bytes", bytes_per_sec)
    return Held(frames, rate, stream.channels, True)


def _of_blocks(path: Path, kind: str, announced: Held) -> Held:
    """A format that is decoded from its beginning only, such as GSM 6.10, where the usual reader fails."""
    frames = len(_decode_whole(path, kind)) if announced.frames else 0
    _require_near(announced.frames, frames, "samples", announced.rate_hz)
    return announced._replace(frames=frames, is_usual=False)


@functools.lru_cache(maxsize=4096)
def _examined(path: Path, size: int, modified_ns: int) -> Held:
    fault = ogg_fault(path)
    if fault is not None:
        raise BadSoundFile(f"{fault}; {_ADVICE}")
    samples = announced_samples(path)
    if samples is not None and samples.has_more:
        raise BadSoundFile(f"it holds several data chunks, of which only the first would be read; {_ADVICE}")
    with soundfile.SoundFile(path) as stream:
        rate, channels, kind = stream.samplerate, stream.channels, stream.format
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            raise BadSoundFile(f"its rate is {rate} Hz, expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz")
        if kind == "FLAC":
            if stream.frames == _UNKNOWN_FRAMES:
                return Held(len(_decode_whole(path, kind)), rate, channels, False)
            return Held(stream.frames, rate, channels, False)  # read to its end in any case: decoding is exact
        if kind == "OGG":
            return Held(stream.frames, rate, channels, True)
        held = _of_mp3(path, stream) if kind == "MP3" else _of_container(path, stream, samples)
        return held if stream.seekable() or not held.is_usual else _of_blocks(path, kind, held)


def examine(path: Path) -> Held:
    """How much audio a file holds.

    Raises:
      BadSoundFile: if its header announces more or less than there is, or a rate that no audio has.
      soundfile.LibsndfileError: if libsndfile cannot read it at all.
    """
    status = os.stat(path)
    return _examined(path, status.st_size, status.st_mtime_ns)


def _flac_samples(path: Path, held: Held) -> np.ndarray:
    """Samples (S, C) of a FLAC file after reading on behind its announced end, where nothing may follow."""
    with soundfile.SoundFile(_opened_without_length(path, "FLAC")) as stream:
        samples, _ = _decode_to_end(stream, held.frames)
    _require_near(held.frames, len(samples), "samples", held.rate_hz)
    return samples


def is_exact_flac(path: Path) -> bool:
    """Whether a file is FLAC that says how long it is, so that any part of it can be found."""
    with soundfile.SoundFile(path) as stream:
        return bool(stream.format == "FLAC" and stream.frames != _UNKNOWN_FRAMES)


def decoded(path: Path, held: Held) -> np.ndarray:
    """All samples (S, C) float32 of a file that `examine` found to hold so much.

    Raises:
      BadSoundFile: if it is damaged or cut short. soundfile.LibsndfileError: if libsndfile cannot read it.
    """
    if held.is_usual:
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
        _require_near(held.frames, len(samples), "samples", held.rate_hz)
        return samples
    if is_exact_flac(path):
        return _flac_samples(path, held)
    with soundfile.SoundFile(path) as stream:
        kind = stream.format
    return _decode_whole(path, kind)
