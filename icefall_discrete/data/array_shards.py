"""The tar files of arrays in lhotse's Shar, read and written as lhotse does, in a tenth of its time.

Each array is two members of the file: `<cut id>.npy`, then `<cut id>.json` with its entry. Those that lhotse writes for
codes and features have plain headers, one form of entry and one form of .npy header: these are taken apart here, by
patterns that fit nothing else. A shard with anything else in it is read by lhotse from there on, and long or foreign
names are written by Python's tarfile, so that the bytes are lhotse's in any case.
"""

import functools
import io
import itertools
import json
import re
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple, Optional, Tuple

import numpy as np
from lhotse.array import Array, TemporalArray
from lhotse.shar.readers.tar import TarIterator

from icefall_discrete.data.shard_writer import ShardWriter

SHARD_NAME = "frames.{:06d}.tar"
_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
_NAME_BYTES, _SIZE, _SUM = 100, slice(124, 136), slice(148, 156)
_MAGIC, _PREFIX = slice(257, 262), slice(345, 346)
_BUFFER = 2**20  # bytes
_ADLER = 65521  # adler32's lower half is one more than the sum of the bytes, modulo this
_BLANK_SUM = 8 * ord(" ")  # the sum of a header is taken with spaces in its own place
_ENTRY = re.compile(
    rb'\{"array": \{"storage_type": "shar", "storage_path": "", "storage_key": "", '
    rb'"shape": \[(\d{1,12}), (\d{1,6})\]\}, "temporal_dim": 0, '
    rb'"frame_shift": (\d{1,9}\.\d{1,20}|\d{1,9}e-\d\d), "start": 0\}\n'
)
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '<(i2|i4|f4)', "
    rb"'fortran_order': False, 'shape': \((\d{1,12}), (\d{1,6})\), \} *\n",
    re.DOTALL,
)
_NPY_FIXED = 10  # bytes before the text of the header


class _Npy(NamedTuple):
    """What the header of an .npy file says: where the (T, K) values begin, and of which type they are."""

    start: int
    dtype: np.dtype
    num_frames: int
    num_columns: int


_DTYPES = {name.encode(): np.dtype(f"<{name}") for name in ("i2", "i4", "f4")}


def _npy_header(data: bytes) -> Optional[_Npy]:
    """The header of the bytes of an .npy file in the plain form, if all values are there; None for any other."""
    found = _NPY.match(data)
    if found is None or found.end() != _NPY_FIXED + int.from_bytes(found[1], "little"):
        return None
    header = _Npy(found.end(), _DTYPES[found[2]], int(found[3]), int(found[4]))
    size = header.num_frames * header.num_columns * header.dtype.itemsize
    return header if len(data) == header.start + size else None


def npy_frames(data: bytes, left: int, right: int) -> Optional[np.ndarray]:
    """Frames [left, right) of the (T, K) array in the bytes of an .npy file, writable; None if of another form."""
    header = _npy_header(data)
    if header is None:
        return None
    values = np.frombuffer(data, header.dtype, offset=header.start)
    return values.reshape(header.num_frames, header.num_columns)[left:right].copy()


class _Unusual(Exception):
    """Something that is left to lhotse."""


def _member(stream: BinaryIO) -> Optional[Tuple[str, bytes]]:
    """Name and content of the next member of a tar file; None at its end."""
    header = stream.read(_BLOCK)
    if not header.strip(b"\0"):
        return None
    total = (zlib.adler32(header) & 0xFFFF) - 1 - sum(header[_SUM]) + _BLANK_SUM
    name, _, rest = header[:_NAME_BYTES].partition(b"\0")
    plain = header[156:157] in (b"0", b"\0") and header[_PREFIX] == b"\0" and not rest.strip(b"\0")
    if len(header) != _BLOCK or header[_MAGIC] != b"ustar" or not plain or not name.isascii():
        raise _Unusual
    try:
        size, noted = int(header[124:135], 8), int(header[_SUM].strip(b"\0 "), 8)
    except ValueError:
        raise _Unusual from None
    padded = size + -size % _BLOCK
    content = stream.read(padded)
    if (noted - total) % _ADLER or len(content) != padded:
        raise _Unusual
    return name.decode("ascii"), content[:size]


def _plain_arrays(stream: BinaryIO) -> Iterator[Tuple[str, TemporalArray]]:
    """Cut ids and their arrays; raises _Unusual at the first that is not in the plain form."""
    while (member := _member(stream)) is not None:
        (name, data), entry = member, _member(stream)
        cut_id, suffix = name[: -len(".npy")], name[-len(".npy") :]
        if entry is None or suffix != ".npy" or entry[0] != f"{cut_id}.json":
            raise _Unusual
        found, header = _ENTRY.fullmatch(entry[1]), _npy_header(data)
        if found is None or header is None:
            raise _Unusual
        if (int(found[1]), int(found[2])) != (header.num_frames, header.num_columns):
            raise ValueError(f"the array of {cut_id} has another shape than its entry says")
        array = Array("memory_npy", "", data, [header.num_frames, header.num_columns])
        yield cut_id, TemporalArray(array, temporal_dim=0, frame_shift=float(found[3]), start=0)


def read_arrays(path: Path) -> Iterator[Tuple[str, TemporalArray]]:
    """The ids of the cuts of a shard, and their arrays, whose bytes are in memory, in the order of the file.

    Raises ValueError for what is no tar file, or a compressed one; and what lhotse and tarfile raise.
    """
    number = 0
    with open(path, "rb", buffering=_BUFFER) as stream:
        if stream.read(_BLOCK)[_MAGIC] != b"ustar":
            raise ValueError(f"{path.name} is no tar file, or a compressed one")
        stream.seek(0)
        try:
            for found in _plain_arrays(stream):
                yield found
                number += 1
            return
        except _Unusual:
            pass
    for array, name in itertools.islice(TarIterator(path), number, None):
        if not isinstance(array, TemporalArray):
            raise ValueError(f"{path.name} has no array for {name.stem}")
        yield str(name.parent / name.stem), array


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.DEFAULT_FORMAT, tarfile.ENCODING, "surrogateescape")


_PLAIN_HEADER = _header("", 0)
_PLAIN_SUM = sum(_PLAIN_HEADER) - sum(_PLAIN_HEADER[_SIZE]) - sum(_PLAIN_HEADER[_SUM]) + _BLANK_SUM


def _member_bytes(name: str, content: bytes) -> bytes:
    """A member of a tar file, as tarfile makes it of a name and nothing else."""
    called = name.encode("utf-8", "surrogateescape")
    if len(called) > _NAME_BYTES or len(called) != len(name):
        header = _header(name, len(content))
    else:
        size = b"%011o\0" % len(content)
        total = b"%06o\0 " % (_PLAIN_SUM + sum(called) + sum(size))
        middle = _PLAIN_HEADER[_NAME_BYTES : _SIZE.start] + size + _PLAIN_HEADER[_SIZE.stop : _SUM.start]
        header = called.ljust(_NAME_BYTES, b"\0") + middle + total + _PLAIN_HEADER[_SUM.stop :]
    return header + content + bytes(-len(content) % _BLOCK)


@functools.lru_cache(maxsize=4096)
def _npy_header_bytes(num_frames: int, num_columns: int, descr: str) -> bytes:
    stream = io.BytesIO()
    entry = {"descr": descr, "fortran_order": False, "shape": (num_frames, num_columns)}
    np.lib.format.write_array_header_1_0(stream, entry)
    return stream.getvalue()


@functools.lru_cache(maxsize=4096)
def _entry_bytes(num_frames: int, num_columns: int, frame_shift: float) -> bytes:
    array = {"storage_type": "shar", "storage_path": "", "storage_key": "", "shape": [num_frames, num_columns]}
    return json.dumps({"array": array, "temporal_dim": 0, "frame_shift": frame_shift, "start": 0}).encode() + b"\n"


class ArrayShardWriter(ShardWriter):
    """Write (T, K) arrays of cuts to `frames.000000.tar` and so on in a folder, with the bytes of lhotse's writer.

    Args:
      folder: where the shards lie. shard_size: arrays in each.
    """

    name = SHARD_NAME

    def write(self, cut_id: str, frames: np.ndarray, frame_shift: float) -> None:
        """Append frames (T, K), one every `frame_shift` seconds. Raises OSError that names the shard."""
        data = _npy_header_bytes(*frames.shape, frames.dtype.str) + frames.tobytes()
        self.append(
            _member_bytes(f"{cut_id}.npy", data)
            + _member_bytes(f"{cut_id}.json", _entry_bytes(*frames.shape, frame_shift))
        )

    def end(self, stream: BinaryIO) -> None:
        """The blank blocks of a tar file, as many as fill a record."""
        size = stream.tell() + 2 * _BLOCK
        stream.write(bytes(2 * _BLOCK + -size % _RECORD))
