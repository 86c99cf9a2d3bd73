"""Shards of arrays: the bytes that lhotse writes, the arrays that lhotse reads, and no other for what is damaged."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from lhotse.array import Array, TemporalArray
from lhotse.features.io import get_reader
from lhotse.shar import ArrayTarWriter
from lhotse.shar.readers.tar import TarIterator

from icefall_discrete.data.array_shards import ArrayShardWriter, npy_frames, read_arrays

PLAIN = {
    "a": np.arange(6, dtype=np.int16).reshape(6, 1),
    "meeting/part-1.wav": np.full((70, 2), 2**30, dtype=np.int32),
    "b c": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
    "none": np.empty((0, 1), dtype=np.int16),
}
UNUSUAL = {
    "données": np.arange(4, dtype=np.int16).reshape(4, 1),
    "n" * 120: np.arange(3, dtype=np.int16).reshape(3, 1),
    "after": np.arange(5, dtype=np.int16).reshape(5, 1),
}
SHIFT = 1 / 75


def by_lhotse(folder, arrays, shard_size, compression="numpy"):
    with ArrayTarWriter(f"{folder}/frames.%06d.tar", shard_size, compression) as writer:
        for name, value in arrays.items():
            array = Array("shar", "", "", list(value.shape))
            writer.write(name, value, TemporalArray(array, temporal_dim=0, frame_shift=SHIFT, start=3.5))


def shards(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("arrays", [PLAIN, UNUSUAL, {**PLAIN, **UNUSUAL}], ids=["plain", "unusual", "both"])
def test_what_is_written_and_read_is_that_of_lhotse(arrays, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir(), theirs.mkdir()
    with ArrayShardWriter(ours, 3) as writer:
        for name, value in arrays.items():
            writer.write(name, value, SHIFT)
    by_lhotse(theirs, arrays, 3)
    assert shards(ours) == shards(theirs)
    found = [pair for path in sorted(ours.iterdir()) for pair in read_arrays(path)]
    expected = [pair for path in sorted(ours.iterdir()) for pair in TarIterator(path)]
    assert [name for name, _ in found] == [str(path.parent / path.stem) for _, path in expected] == list(arrays)
    for (_, left), (right, _), value in zip(found, expected, arrays.values()):
        assert left == right
        read = npy_frames(left.array.storage_key, 1, 3)
        np.testing.assert_array_equal(read, value[1:3])
        assert read.dtype == value.dtype and read.flags.writeable


def test_other_arrays_than_ours_are_left_to_lhotse(tmp_path):
    values = {"a": PLAIN["b c"], "b": PLAIN["b c"].astype(np.float64)}
    by_lhotse(tmp_path, values, 9)
    for (_, array), value in zip(read_arrays(tmp_path / "frames.000000.tar"), values.values()):
        assert (npy_frames(array.array.storage_key, 0, 3) is None) == (value.dtype == np.float64)
        np.testing.assert_array_equal(get_reader(array.array.storage_type)("").read(array.array.storage_key), value)


def test_a_shard_that_is_damaged_anywhere_gives_an_error_or_the_same(tmp_path):
    path = tmp_path / "frames.000000.tar"
    by_lhotse(tmp_path, PLAIN, 9)
    whole, expected = path.read_bytes(), list(read_arrays(path))
    for cut_at in range(0, 7 * 1024, 256):
        path.write_bytes(whole[:cut_at])
        try:
            found = list(read_arrays(path))
        except (ValueError, RuntimeError, EOFError, OSError, tarfile.ReadError):
            continue
        assert found == expected[: len(found)]
    path.write_bytes(whole.replace(b"(70, 2), }", b"(7, 20), }"))
    with pytest.raises(ValueError, match=r"meeting/part-1\.wav has another shape than its entry says"):
        list(read_arrays(path))


def test_a_compressed_shard_and_what_is_none_are_refused(tmp_path):
    path = tmp_path / "frames.000000.tar"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.npy"))
    for content in (packed.getvalue(), b"", b"<html>" * 900):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"frames\.000000\.tar is no tar file, or a compressed one"):
            list(read_arrays(path))


class ToAFullDisk(ArrayShardWriter):
    """No byte of what it writes arrives."""

    def opened(self, path):
        return open("/dev/full", "wb", buffering=2**20)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_at_the_end_of_a_shard_is_told(tmp_path):
    with pytest.raises(OSError, match=r"could not write .*No space left"), ToAFullDisk(tmp_path, 2) as writer:
        for entry in (b"one", b"two", b"three"):
            writer.append(entry)
