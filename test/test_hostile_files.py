"""Whatever a file of weights or graphs asks for, nothing is run, memory is bounded, and one sentence names the file."""

import pickle
import resource
import time
from os import system
from pathlib import Path

import hostile_files
import pytest
import torch

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.guarded_pickle import plain, read_checkpoint
from icefall_discrete.base.inert_pickle import InertUnpickler, Record
from icefall_discrete.decoding.k2_graph_files import load_graph
from icefall_discrete.experiment import espnet_checkpoints, icefall_checkpoints
from icefall_discrete.tokenizers.formats.kmeans_files import read_centroids
from icefall_discrete.tokenizers.formats.pretrained import read_weights

MAX_MEMORY_KB = 300_000


READERS = {
    "load_checkpoint": load_checkpoint,
    "load_graph": load_graph,
    "convert_icefall": icefall_checkpoints.read_weights,
    "convert_espnet": espnet_checkpoints.read_weights,
    "read_weights": read_weights,
    "read_centroids": read_centroids,
}


def assert_refused(reader, path):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ValueError) as caught:
        READERS[reader](path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and "Nothing of" in message and len(message) < 1000
    assert "weights_only" not in message and "delete" not in message
    assert "Error" not in message and "\x1b" not in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_MEMORY_KB
    assert time.monotonic() - start < 20
    return message


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["archive", "legacy", "raw", "torchscript"])
def test_a_command_is_not_run(tmp_path, reader, name):
    path, marker = tmp_path / "epoch-2.pt", tmp_path / "marker"
    hostile_files.commands(marker)[name](path)
    message = assert_refused(reader, path)
    assert not marker.exists()
    if (reader, name) != ("read_centroids", "legacy"):  # of which it reads the first pickle, a number
        assert ("TorchScript" if name == "torchscript" else f"names {system.__module__}.system") in message


@pytest.mark.parametrize("name", ["archive", "legacy", "raw", "torchscript"])
def test_the_commands_are_run_where_files_are_believed(tmp_path, name):
    """Or the test above would prove nothing."""
    path, marker = tmp_path / "epoch-2.pt", tmp_path / "marker"
    hostile_files.commands(marker)[name](path)
    if name == "raw":
        pickle.loads(path.read_bytes())
    elif name == "torchscript":
        torch.jit.load(str(path))
    else:
        torch.load(path, **({} if torch.__version__ < "2.6" else {"weights_only": False}))
    assert marker.exists()


@pytest.mark.parametrize("name", hostile_files.bombs())
def test_a_bomb_does_not_go_off(tmp_path, name):
    path = tmp_path / "epoch-2.pt"
    hostile_files.bombs()[name](path)
    for reader in READERS:
        assert_refused(reader, path)


@pytest.mark.parametrize("name", hostile_files.PICKLES)
def test_a_bare_pickle_does_not_go_off_either(tmp_path, name):
    path = tmp_path / "km.bin"
    path.write_bytes(hostile_files.PICKLES[name])
    assert_refused("read_centroids", path)
    assert_refused("load_checkpoint", path)


def test_a_folder_and_a_missing_file(tmp_path):
    for reader in READERS:
        with pytest.raises(FileNotFoundError, match=r"epoch-3\.pt do(es)? not exist"):
            READERS[reader](tmp_path / "epoch-3.pt")
    (tmp_path / "epoch-2.pt").mkdir()
    for reader in ("load_checkpoint", "load_graph", "convert_icefall", "convert_espnet", "read_weights"):
        assert "it is not a file" in assert_refused(reader, tmp_path / "epoch-2.pt")


def test_own_checkpoints_hold_no_objects_at_all(tmp_path):
    torch.save({"model": {}, "folder": Path("exp")}, tmp_path / "epoch-1.pt")
    assert "it names pathlib.PosixPath" in assert_refused("load_checkpoint", tmp_path / "epoch-1.pt")
    assert isinstance(read_checkpoint(tmp_path / "epoch-1.pt")["folder"], Record)


def test_settings_that_hold_themselves_are_refused():
    record = Record("argparse.Namespace")
    record.state = {"inner": record}
    with pytest.raises(ValueError, match="holds itself"):
        plain(record)
    shared = Record("argparse.Namespace")
    for _ in range(60):
        outer = Record("argparse.Namespace")
        outer.state = {"a": shared, "b": shared}
        shared = outer
    with pytest.raises(ValueError, match="repeats shared containers too often"):
        plain(shared)


def test_every_opcode_that_makes_objects_is_our_own():
    for opcode in (pickle.REDUCE, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.INST, pickle.OBJ, pickle.BUILD):
        assert InertUnpickler.dispatch[opcode[0]] is not pickle._Unpickler.dispatch[opcode[0]]
    unknown = (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID, pickle.BYTEARRAY8, pickle.NEXT_BUFFER)
    assert not {opcode[0] for opcode in unknown} & set(InertUnpickler.dispatch)
