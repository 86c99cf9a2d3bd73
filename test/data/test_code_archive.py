import errno
import os

import numpy as np
import pytest
from lhotse.features.io import get_reader, get_writer

from icefall_discrete.data.code_archive import ArchiveKey, FlatArchiveReader, FlatArchiveWriter


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": rng.integers(0, 500, (7, 1)).astype(np.int16),
        "b": rng.integers(0, 70000, (11, 8)).astype(np.int32),
        "c": rng.standard_normal((5, 80)).astype(np.float32),
        "empty": np.zeros((0, 3), np.int16),
    }


def test_round_trip_through_the_registry_of_lhotse(tmp_path):
    assert get_writer("flat_archive") is FlatArchiveWriter
    with FlatArchiveWriter(tmp_path / "x.codes") as writer:
        stored = {
            key: writer.store_array(key, value, frame_shift=0.02, temporal_dim=0) for key, value in arrays().items()
        }
    assert (tmp_path / "x.codes").stat().st_size == sum(value.nbytes for value in arrays().values())
    for key, value in arrays().items():
        loaded = stored[key].load()
        assert loaded.dtype == value.dtype and loaded.flags.writeable
        np.testing.assert_array_equal(loaded, value)


@pytest.mark.parametrize("left,right", [(0, None), (2, None), (0, 3), (2, 5), (4, 4), (3, 100), (-2, None)])
def test_partial_read_is_a_slice(tmp_path, left, right):
    with FlatArchiveWriter(tmp_path / "x.codes") as writer:
        keys = {key: writer.write(key, value) for key, value in arrays().items()}
    reader = get_reader("flat_archive")(tmp_path / "x.codes")
    for key, value in arrays().items():
        np.testing.assert_array_equal(reader.read(keys[key], left, right), value[left:right])


def test_reopening_cuts_back_to_what_is_kept(tmp_path):
    path = tmp_path / "x.codes"
    with FlatArchiveWriter(path) as writer:
        writer.write("a", arrays()["a"])
        keep = writer.end
        writer.write("b", arrays()["b"])
    with FlatArchiveWriter(path, keep_bytes=keep) as writer:
        key = writer.write("c", arrays()["c"])
    assert ArchiveKey.parse(key).offset == keep
    assert path.stat().st_size == arrays()["a"].nbytes + arrays()["c"].nbytes
    np.testing.assert_array_equal(FlatArchiveReader(path).read(key), arrays()["c"])
    with pytest.raises(ValueError, match=r"x\.codes has \d+ bytes, expected at least 99999"):
        FlatArchiveWriter(path, keep_bytes=99999)


def test_a_write_that_fails_half_way_leaves_the_end_where_it_was(tmp_path, monkeypatch):
    real = os.pwrite

    def full_disk(descriptor, data, offset):
        real(descriptor, data[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with FlatArchiveWriter(tmp_path / "x.codes") as writer:
        first = writer.write("a", arrays()["a"])
        monkeypatch.setattr(os, "pwrite", full_disk)
        with pytest.raises(OSError, match=r"could not write .*x\.codes") as caught:
            writer.write("b", arrays()["b"])
        assert caught.value.errno == errno.ENOSPC
        assert writer.end == arrays()["a"].nbytes
        monkeypatch.undo()
        second = writer.write("b", arrays()["b"])
    reader = FlatArchiveReader(tmp_path / "x.codes")
    np.testing.assert_array_equal(reader.read(first), arrays()["a"])
    np.testing.assert_array_equal(reader.read(second), arrays()["b"])


def test_an_archive_that_was_made_again_is_read_again(tmp_path):
    path = tmp_path / "x.codes"
    for seed in (1, 2):
        with FlatArchiveWriter(tmp_path / "new.codes") as writer:
            key = writer.write("a", arrays(seed)["a"])
        os.replace(tmp_path / "new.codes", path)
        np.testing.assert_array_equal(FlatArchiveReader(path).read(key), arrays(seed)["a"])


def test_errors_name_the_archive_and_what_to_do(tmp_path):
    path = tmp_path / "x.codes"
    with pytest.raises(FileNotFoundError, match=r"x\.codes does not exist.*load_cuts"):
        FlatArchiveReader(path).read("0,1,1,int16")
    with FlatArchiveWriter(path) as writer:
        key = writer.write("a", arrays()["a"])
        with pytest.raises(ValueError, match=r"cut-7: cannot store int64 of shape \(3, 1\)"):
            writer.write("cut-7", np.zeros((3, 1), np.int64))
    os.truncate(path, 5)
    with pytest.raises(ValueError, match=rf"x\.codes ends before the array '{key}'"):
        FlatArchiveReader(path).read(key)
    for bad in ("x", "0,1,1,int8"):
        with pytest.raises(ValueError, match=f"storage key '{bad}'"):
            FlatArchiveReader(path).read(bad)
