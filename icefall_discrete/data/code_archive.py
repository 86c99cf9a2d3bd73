"""One flat, append-only file of (T, K) arrays behind lhotse's reader and writer registry.

The file holds nothing but the frames of all utterances, one after the other, little-endian, row by row. Where an
utterance lies is said by its storage key "<offset>,<T>,<K>,<dtype>", so a read is one seek, and a partial read (a
truncated cut) touches only its own frames. A crash can leave at most a tail that no key points to.

Importing this module registers the storage type "flat_archive" with lhotse.
"""

import functools
import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional, Union

import numpy as np
from lhotse.features.io import FeaturesReader, FeaturesWriter, register_reader, register_writer

from icefall_discrete.base.atomic_files import cannot_write

_LITTLE = 1 << 20  # bytes
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("int16", "int32", "float32")}
_KEY = re.compile(r"(\d{1,18}),(\d{1,12}),(\d{1,6}),(\w{1,12})", re.ASCII)


class ArchiveKey(NamedTuple):
    """Where a (T, K) array lies: byte offset, T frames, K columns, dtype name."""

    offset: int
    num_frames: int
    num_columns: int
    dtype: str

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.num_columns * DTYPES[self.dtype].itemsize

    @property
    def num_bytes(self) -> int:
        """Bytes of the whole array."""
        return self.num_frames * self.frame_bytes

    def __str__(self) -> str:
        return f"{self.offset},{self.num_frames},{self.num_columns},{self.dtype}"

    @classmethod
    def parse(cls, key: str) -> "ArchiveKey":
        """Parse a storage key. Raises ValueError if it is not one of ours."""
        found = _KEY.fullmatch(key)
        if found is None:
            raise ValueError(f"storage key '{key[:80]}' is not '<offset>,<T>,<K>,<dtype>'; extract again.")
        offset, num_frames, num_columns = map(int, found.groups()[:3])
        if found[4] not in DTYPES:
            raise ValueError(f"storage key '{key}': dtype is not one of {', '.join(DTYPES)}; extract again.")
        return cls(offset, num_frames, num_columns, found[4])


@register_writer
class FlatArchiveWriter(FeaturesWriter):
    """Append (T, K) arrays of int16, int32 or float32 to one file.

    Args:
      storage_path: the archive. keep_bytes: how much of an existing file to keep; the rest is cut off (0: start anew).
    Raises:
      ValueError: if the file is shorter than `keep_bytes`.
      OSError: with a sentence that names the archive, if it cannot be written (a full disk keeps what was there).
    """

    name = "flat_archive"

    def __init__(self, storage_path: Union[str, Path], keep_bytes: int = 0) -> None:
        self._path = Path(storage_path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        size = os.fstat(self._descriptor).st_size
        if size < keep_bytes:
            self.close()
            raise ValueError(f"{self._path} has {size} bytes, expected at least {keep_bytes}; run stage 3 again.")
        os.ftruncate(self._descriptor, keep_bytes)
        self._end = keep_bytes

    @property
    def storage_path(self) -> str:
        """Path of the archive."""
        return str(self._path)

    @property
    def end(self) -> int:
        """Bytes written so far."""
        return self._end

    def write(self, key: str, value: np.ndarray) -> str:
        """Append `value` (T, K) and return its storage key; `key` (the cut's id) is only used in errors."""
        if value.ndim != 2 or value.dtype.name not in DTYPES:
            raise ValueError(
                f"{key}: cannot store {value.dtype.name} of shape {value.shape}; expected (T, K) of "
                f"{', '.join(DTYPES)}."
            )
        place = ArchiveKey(self._end, value.shape[0], value.shape[1], value.dtype.name)
        data = np.ascontiguousarray(value, dtype=DTYPES[place.dtype]).tobytes()
        written = 0
        try:
            while written < len(data):
                # Positioned writes: an attempt that fails half-way leaves `end` where it was.
                written += os.pwrite(self._descriptor, data[written:], self._end + written)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._end += len(data)
        return str(place)

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Close the file; harmless if done twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __exit__(self, *error: object) -> None:
        self.close()


@functools.lru_cache(maxsize=64)
def _open_version(path: str, device: int, inode: int) -> BinaryIO:
    # The file's identity is part of the cache key, so that an archive that was deleted and made again is opened again.
    return open(path, "rb", buffering=0)


def _open(path: str) -> BinaryIO:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"the archive {path} does not exist; read its manifest with icefall_discrete.data.cuts.load_cuts, "
            "which looks for the archive in the manifest's folder, or extract the codes again."
        ) from None
    return _open_version(path, status.st_dev, status.st_ino)


@register_reader
class FlatArchiveReader(FeaturesReader):
    """Read (T, K) arrays, or a range of their frames, from an archive of FlatArchiveWriter.

    Reads are positioned (`preadv`), so that forked loader workers may share the file.
    """

    name = "flat_archive"

    def __init__(self, storage_path: Union[str, Path]) -> None:
        self._path = str(storage_path)

    def read(self, key: str, left_offset_frames: int = 0, right_offset_frames: Optional[int] = None) -> np.ndarray:
        """Return frames [left, right) of the array at `key` as (T, K) in its stored dtype, writable.

        Raises:
          FileNotFoundError: if there is no archive. ValueError: if the key is malformed or points behind its end.
        """
        try:
            place = ArchiveKey.parse(key)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from None
        left, right, _ = slice(left_offset_frames, right_offset_frames).indices(place.num_frames)
        num_frames = max(0, right - left)
        size, start = num_frames * place.frame_bytes, place.offset + left * place.frame_bytes
        descriptor = _open(self._path).fileno() if size else -1
        # Asked before memory is taken, which a key could ask for in any amount; of a little, reading tells.
        whole = size <= _LITTLE or start + size <= os.fstat(descriptor).st_size
        buffer = bytearray(size if whole else 0)
        if not whole or (buffer and os.preadv(descriptor, [buffer], start) != size):
            raise ValueError(f"{self._path} ends before the array '{key}'; it was cut short: extract the codes again.")
        return np.frombuffer(buffer, dtype=DTYPES[place.dtype]).reshape(num_frames, place.num_columns)
