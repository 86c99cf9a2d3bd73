"""Files of torch.save are read as torch reads them, and whatever would run code is refused before it does."""

import argparse
import collections
import pickle
import zipfile

import pytest
import torch

from icefall_discrete.base.guarded_pickle import plain, read_checkpoint
from icefall_discrete.base.inert_pickle import Record


class Attack:
    """Pickles into a call that leaves a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def checkpoint():
    base = torch.arange(24, dtype=torch.float32)
    return {
        "args": argparse.Namespace(layers="[(1, 2, 3)]", nested=argparse.Namespace(normalize=True)),
        "model": collections.OrderedDict(
            plain=torch.randn(3, 4),
            view=base[4:16].view(3, 4).t(),
            same=base,
            half=torch.randn(5).half(),
            brain=torch.randn(5).bfloat16(),
            ids=torch.arange(7),
            flags=torch.tensor([True, False]),
            scalar=torch.tensor(2.5),
            empty=torch.empty(0, 3),
            parameter=torch.nn.Parameter(torch.randn(2)),
        ),
        "epoch": 3,
        "names": ("a", ["b", {"c", "d"}], b"bytes", None, 2.5),
    }


@pytest.mark.parametrize("archive", [True, False])
def test_tensors_and_settings_come_back(tmp_path, archive):
    expected = checkpoint()
    path = tmp_path / "model.pt"
    torch.save(expected, path, _use_new_zipfile_serialization=archive)
    found = read_checkpoint(path)
    assert list(found["model"]) == list(expected["model"])
    for name, value in expected["model"].items():
        assert found["model"][name].dtype == value.dtype
        assert torch.equal(found["model"][name], value), name
    assert found["names"] == expected["names"] and found["epoch"] == 3
    assert isinstance(found["args"], Record) and found["args"].path == "argparse.Namespace"
    assert plain(found["args"]) == {"layers": "[(1, 2, 3)]", "nested": {"normalize": True}}


@pytest.mark.parametrize("archive", [True, False])
def test_a_call_is_refused_and_not_made(tmp_path, archive):
    path, trace = tmp_path / "model.pt", tmp_path / "trace"
    torch.save({"model": {}, "best": Attack(trace)}, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError, match=r"model\.pt is refused: it names (io|_io)\.open"):
        read_checkpoint(path)
    assert not trace.exists()
    torch.load(path, **({} if torch.__version__ < "2.6" else {"weights_only": False}))
    assert trace.exists(), "the attack does not work, so the test proves nothing"


@pytest.mark.parametrize("name", ["eval", "getattr", "exec", "__import__", "print"])
def test_functions_of_python_are_refused(tmp_path, name):
    path = tmp_path / "model.pt"
    data = b"\x80\x02cbuiltins\n" + name.encode() + b"\nX\x01\x00\x00\x001\x85R."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", data)
    with pytest.raises(ValueError, match=f"it names builtins.{name}"):
        read_checkpoint(path)


def test_a_view_that_leaves_its_storage_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(torch.arange(8.0), path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    changed = entries[name].replace(b"K\x08\x85", b"K\x7f\x85")
    assert changed != entries[name]
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in {**entries, name: changed}.items():
            archive.writestr(key, value)
    with pytest.raises(ValueError, match="is refused"):
        read_checkpoint(path)


def test_files_that_are_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        read_checkpoint(tmp_path / "none.pt")
    page = tmp_path / "page.pt"
    page.write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"page\.pt is refused"):
        read_checkpoint(page)
    script = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), script)
    with pytest.raises(ValueError, match="TorchScript"):
        read_checkpoint(script)
    other = tmp_path / "other.pt"
    other.write_bytes(pickle.dumps({"a": 1}) * 5)
    with pytest.raises(ValueError, match=r"not one of torch\.save"):
        read_checkpoint(other)


@pytest.mark.parametrize("archive", [True, False])
def test_a_file_that_is_cut_short(tmp_path, archive):
    path = tmp_path / "model.pt"
    torch.save({"model": torch.randn(1000)}, path, _use_new_zipfile_serialization=archive)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"model\.pt is refused"):
        read_checkpoint(path)
