"""The corridors: atomic files, registry, backend, spec and environment."""

import dataclasses
import errno
import json
import math
import os
import shutil
import sys
from pathlib import Path

import pytest

from icefall_discrete.base import backend, environment
from icefall_discrete.base.atomic_files import copy_file, new_folder, replacing, write_text
from icefall_discrete.base.registry import find_class, modules_in
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.experiment.folder import Experiment

CODES = FeatureSpec("encodec", "codes", 24000, 75.0, 2, (1024, 1024), 0, {"model": "a", "layer": 3})


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ValueError, match="stop"), replacing(target) as temporary:
        temporary.write_text("half")
        raise ValueError("stop")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_names_the_file(tmp_path):
    message = r"could not write .*a\.txt: No space left on device"
    with pytest.raises(OSError, match=message), replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_cannot_be_written_says_what_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "folder" / "a.txt"):
        with pytest.raises(
            OSError, match=r"could not write .*a\.txt: .*/file is a file, no folder; give another place"
        ):
            write_text(path, "")
        with pytest.raises(OSError, match=r"could not write .*a\.txt: .*/file is a file, no folder"):
            FlatArchiveWriter(path)
    with pytest.raises(OSError, match="the name is too long for a file; give a shorter one"):
        write_text(tmp_path / ("x" * 250), "")  # with what a temporary one has before it


def test_unknown_class_lists_the_known_ones():
    modules = modules_in("icefall_discrete.tokenizers")
    with pytest.raises(ValueError, match=r"unknown object 'nonesuch'; known: .*contract"):
        find_class(modules, "nonesuch", object)
    assert modules["dmel"] == "icefall_discrete.tokenizers.dmel"
    assert "frames" not in modules


def test_backend_resolution():
    assert backend.resolve("torch") == "torch"
    assert backend.resolve("auto") in ("k2", "torch")
    with pytest.raises(ValueError, match="unknown backend 'cuda'; known: auto, k2, torch"):
        backend.resolve("cuda")


@pytest.mark.skipif(Path(sys.prefix).name != "k2", reason="this is not the k2 environment")
def test_the_k2_environment_has_k2():
    assert backend.resolve("auto") == "k2"


def test_missing_k2_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(backend, "_import_k2", lambda: (None, "ImportError: no k2"))
    assert backend.resolve("auto") == "torch"
    with pytest.raises(RuntimeError, match=r"no k2.*tools/setup_env\.sh --env k2"):
        backend.resolve("k2")


def test_spec_round_trip_and_bit_rate(tmp_path):
    CODES.write(tmp_path / "spec.json")
    assert FeatureSpec.read(tmp_path / "spec.json") == CODES
    assert CODES.bits_per_second == 75 * 2 * 10
    assert FeatureSpec("fbank", "continuous", 16000, 100.0, 0, (), 80).bits_per_second == 256000
    assert math.isclose(FeatureSpec("km", "codes", 16000, 50.0, 1, (2000,), 0).bits_per_second, 548.3, rel_tol=1e-4)


def test_spec_difference_is_named_and_versions_are_not_compared():
    newer = dataclasses.replace(CODES, made_with={"torch": "9"})
    CODES.require_same(newer, "the model", "the cuts")
    other = dataclasses.replace(CODES, frame_rate_hz=50.0, provenance={"model": "a", "layer": 4})
    with pytest.raises(ValueError, match=r"the cuts does not fit the model: frame_rate_hz: 75.0 against 50.0; .*layer"):
        CODES.require_same(other, "the model", "the cuts")


@pytest.mark.parametrize(
    "change", [{"kind": "tokens"}, {"num_codebooks": 3}, {"kind": "continuous", "num_codebooks": 0}]
)
def test_impossible_spec_is_refused(change):
    with pytest.raises(ValueError, match="spec 'encodec'"):
        dataclasses.replace(CODES, **change)


def test_environment_describes_itself():
    described = environment.describe()
    assert described["versions"]["torch"] and described["command"] and described["cpu_count"] >= 1


def test_a_copy_to_a_full_disk_names_what_was_to_be_written(tmp_path, monkeypatch):
    source = tmp_path / "source.txt"
    source.write_text("x")

    def full(read, written):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(read), None, str(written))

    monkeypatch.setattr(shutil, "copyfile", full)
    message = r"could not write .*whole: No space left on device .*rerun the same command"
    with pytest.raises(OSError, match=message), new_folder(tmp_path / "whole") as folder:
        shutil.copyfile(source, folder / "a.txt")
    with pytest.raises(OSError, match=r"could not write .*copy\.txt: No space left on device"):
        copy_file(source, tmp_path / "copy.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["source.txt"]


def test_a_folder_is_filled_by_one_process_at_a_time(tmp_path):
    """The one that comes second touches nothing of the first one's; what a killed one left is begun anew."""
    (tmp_path / ".model.partial" / "old").mkdir(parents=True)
    (tmp_path / ".model.partial" / "old" / "a.txt").write_text("half")
    with new_folder(tmp_path / "model") as folder:
        assert not any(folder.iterdir())
        (folder / "a.txt").write_text("x")
        second = pytest.raises(RuntimeError, match=r"another process is making .*model; wait for it, end it, or give")
        with second, new_folder(tmp_path / "model"):
            pass
        (folder / "b.txt").write_text("y")
    assert sorted(os.listdir(tmp_path / "model")) == ["a.txt", "b.txt"] and os.listdir(tmp_path) == ["model"]
    with pytest.raises(ValueError, match="stop"), new_folder(tmp_path / "other"):
        raise ValueError("stop")
    with pytest.raises(ValueError, match="model exists and is not empty"), new_folder(tmp_path / "model"):
        pass
    assert os.listdir(tmp_path) == ["model"]


def test_what_is_newer_is_known_by_its_version_or_its_commit(monkeypatch):
    monkeypatch.setattr(environment, "git_revision", lambda: "abc1234-clean")
    monkeypatch.setattr(environment, "_holds", lambda commit: commit == "abc1234")
    described = {"git": "abc1234-dirty", "versions": {environment.PROJECT: "0.1.0"}}
    assert environment.newer_than_this(described) is None and environment.newer_than_this({}) is None
    assert environment.newer_than_this({"versions": {environment.PROJECT: "0.10"}}) == "version 0.10"
    assert environment.newer_than_this({"commits": ["abc1234-clean", "fedcba9-clean"]}) == "commit fedcba9"
    assert environment.newer_than_this({"git": "--help"}) is None
    monkeypatch.setattr(environment, "git_revision", lambda: environment.UNKNOWN)
    assert environment.newer_than_this({"git": "fedcba9-clean"}) is None


@pytest.mark.parametrize("wrong", [{"system": "newer"}, {"system": "asr", "new": {}}, {"train": {"new": 1}}])
def test_an_experiment_of_a_newer_program_says_so(tmp_path, wrong):
    (tmp_path / "config.json").write_text(json.dumps(wrong))
    (tmp_path / "env.json").write_text(json.dumps({"versions": {environment.PROJECT: "9.0"}}))
    with pytest.raises(
        ValueError, match=r"new.* was made by version 9\.0, newer than this program; use a newer one\.$"
    ):
        Experiment(tmp_path).settings()
    (tmp_path / "env.json").unlink()
    with pytest.raises(ValueError, match="new") as found:
        Experiment(tmp_path).settings()
    assert "newer than this program" not in str(found.value)
