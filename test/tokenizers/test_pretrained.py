"""Finding weights and reading them: the hub by name, untrusted files, names that are not understood."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from icefall_discrete.tokenizers.formats.pretrained import (
    Weights,
    locate_file,
    locate_folder,
    portable_name,
    read_weights,
    safetensors_files,
    sha256_of,
)


class Evil:
    """What a malicious file would hold: unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    torch.save({"weight": torch.ones(2), "extra": Evil(tmp_path / "ran")}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"evil.pt is refused"):
        read_weights(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_nothing_in_a_bare_pickle_is_run(tmp_path):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(ValueError, match=r"evil.pkl"):
        read_weights(tmp_path / "evil.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("old_format", [False, True])
def test_tensors_are_read_from_nested_dictionaries(tmp_path, old_format):
    state = {"module.a": torch.arange(3.0), "module.b": torch.nn.Parameter(torch.ones(2, 2))}
    checkpoint = {"generator": {"conv": {"weight": torch.zeros(1)}}, "state_dict": state, "epoch": 3, "note": "text"}
    torch.save(checkpoint, tmp_path / "model.pt", _use_new_zipfile_serialization=not old_format)
    found = read_weights(tmp_path / "model.pt", ["model", "state_dict"])
    assert sorted(found) == ["a", "b"]
    assert torch.equal(found["a"], torch.arange(3.0)) and torch.equal(found["b"], torch.ones(2, 2))
    whole = read_weights(tmp_path / "model.pt")
    assert sorted(whole) == ["generator.conv.weight", "state_dict.module.a", "state_dict.module.b"]


def test_safetensors_are_read(tmp_path):
    save_file({"a": torch.arange(3)}, tmp_path / "model.safetensors")
    assert torch.equal(read_weights(tmp_path / "model.safetensors")["a"], torch.arange(3))


def test_hub_ids_and_files_are_told_from_paths(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, allow_patterns: asked.append(name) or "folder"
    )
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *name: asked.append(name) or "file")
    assert str(locate_folder("org/name", "Toy")) == "folder"
    assert str(locate_file("org/name/sub/model.pt", "Toy")) == "file"
    assert asked == ["org/name", ("org/name", "sub/model.pt")]
    assert locate_folder(str(tmp_path), "Toy") == tmp_path
    assert len(asked) == 2


@pytest.mark.parametrize("path", ["org/name", "absent.pt"])
def test_a_file_that_is_neither_local_nor_on_the_hub(path):
    with pytest.raises(FileNotFoundError, match=rf"^Toy weights '{path}': this file does not exist"):
        locate_file(path, "Toy")


def test_pickled_transformers_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "dac"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"holds no dac model: .*pickled weights are not read"):
        safetensors_files(tmp_path, "dac")


def test_hash_and_name_do_not_know_the_folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.pt").write_bytes(b"weights")
    paths = [tmp_path / name / "model.pt" for name in ("a", "b")]
    assert sha256_of(paths[:1]) == sha256_of(paths[1:]) != sha256_of(paths)
    assert {portable_name(str(path)) for path in paths} == {"model.pt"}
    assert portable_name("org/name") == "org/name"


@pytest.mark.parametrize(
    "names", [("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")]
)
def test_weight_normalisation_is_multiplied_out(names):
    torch.manual_seed(0)
    conv = torch.nn.utils.weight_norm(torch.nn.Conv1d(3, 4, 5))
    with torch.no_grad():
        conv.weight_g.mul_(2.5)
    weights = Weights({f"conv.{names[0]}": conv.weight_g, f"conv.{names[1]}": conv.weight_v}, "toy")
    conv(torch.zeros(1, 3, 5))
    torch.testing.assert_close(weights.take_normed("conv."), conv.weight.detach())
    weights.require_empty()


def test_weights_are_taken_once_and_wholly():
    weights = Weights({"a.b": torch.ones(1), "a.c": torch.ones(1), "d": torch.ones(1), "e": torch.ones(1)}, "toy.pt")
    part = weights.part("a.")
    part.take("b")
    with pytest.raises(ValueError, match=r"toy.pt, a.\* has no weight 'b'"):
        part.take("b")
    with pytest.raises(ValueError, match=r"toy.pt, a.\*: 1 weights are not understood \(c "):
        part.require_empty()
    weights.drop("[de]")
    weights.require_empty()


def test_a_package_is_found_without_importing_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("evil_weights", "evil_weights/model", "evil_weights/inner"):
        (tmp_path / name).mkdir()
    marker = tmp_path / "marker"
    (tmp_path / "evil_weights" / "__init__.py").write_text(f"open({str(marker)!r}, 'w')")
    (tmp_path / "evil_weights" / "inner" / "__init__.py").write_text("")
    assert locate_folder("package:evil_weights/model", "Whisper") == tmp_path / "evil_weights" / "model"
    for name in ("evil_weights.inner/model", "evil_weights//etc", "evil_weights/../..", "../evil_weights", "", "a b/c"):
        with pytest.raises(ValueError, match=r"expected package:NAME/FOLDER, the name of a package"):
            locate_folder(f"package:{name}", "Whisper")
    with pytest.raises(FileNotFoundError, match="Python package no_weights is not installed"):
        locate_folder("package:no_weights/model", "Whisper")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"attn_implementation": "evil/kernel"}', "'attn_implementation' is 'evil/kernel', which is code to fetch"),
        ("[]", "holds a list, expected an object"),
        ("null", "holds null, expected an object"),
        ('{"model_type": 5}', "is a model of type 5, expected 'whisper'"),
    ],
)
def test_a_configuration_of_transformers_that_is_none(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        safetensors_files(tmp_path, "whisper")
