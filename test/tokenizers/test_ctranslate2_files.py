"""model.bin of CTranslate2: what was written is read, whatever its type; what cannot be is refused in one sentence."""

import resource

import ctranslate2_writer as writer
import pytest
import torch

from icefall_discrete.tokenizers.formats.ctranslate2_files import read_ctranslate2


def written(tmp_path, content):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    return path


def test_every_type_is_read(tmp_path):
    torch.manual_seed(0)
    tensors = {
        "encoder/a/weight": torch.randn(3, 2, 5),
        "encoder/b/weight": torch.randn(4).half(),
        "decoder/c/weight": torch.randn(2, 2).bfloat16(),
        "encoder/num_heads": torch.tensor(8, dtype=torch.int16),
        "encoder/d": torch.tensor([1, -(2**31)], dtype=torch.int32),
        "encoder/nothing": torch.zeros(0, 4),
    }
    found = read_ctranslate2(written(tmp_path, writer.model(tensors)), whole=["encoder/num_heads", "encoder/d"])
    assert (found.kind, found.revision) == ("WhisperSpec", 3)
    assert set(found.tensors) == set(tensors)
    for name, value in tensors.items():
        assert found.tensors[name].dtype == value.dtype and torch.equal(found.tensors[name], value)
    only = read_ctranslate2(tmp_path / "model.bin", lambda name: name.startswith("decoder/")).tensors
    assert list(only) == ["decoder/c/weight"]


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3)])
def test_quantized_numbers_come_back_to_half_a_step(tmp_path, shape):
    value = torch.randn(shape)
    per_row = 127 / value.abs().flatten(1).amax(dim=1)
    bytes_ = (value * per_row.reshape(-1, *[1] * (len(shape) - 1))).round().to(torch.int8)
    whole = torch.tensor(1024 / float(value.abs().max()))
    words = (value * whole).round().to(torch.int16)
    tensors = {"a": bytes_, "a_scale": per_row, "b": words, "b_scale": whole, "c": bytes_}
    aliases = [("d", "a"), ("c_scale", "a_scale"), ("e_scale", "a_scale")]
    found = read_ctranslate2(written(tmp_path, writer.model(tensors, aliases))).tensors
    assert set(found) == {"a", "b", "c", "d"} and torch.equal(found["c"], found["a"])
    steps = (1 / per_row).reshape(-1, *[1] * (len(shape) - 1))
    assert ((found["a"] - value).abs() <= 0.5001 * steps).all()
    assert (found["b"] - value).abs().max() <= 0.5001 / whole
    assert found["d"] is found["a"]


def test_many_names_of_one_variable_are_one_tensor(tmp_path):
    content = writer.model({"a": torch.zeros(2**20)}, [(f"b{number}", "a") for number in range(2000)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read_ctranslate2(written(tmp_path, content)).tensors
    assert len(found) == 2001 and all(value is found["a"] for value in found.values())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("name", writer.hostile())
def test_what_cannot_be_is_refused(tmp_path, name):
    path = written(tmp_path, writer.hostile()[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError) as caught:
        read_ctranslate2(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is no model of CTranslate2 that can be read (") and "\n" not in message
    assert len(message) < 500 + len(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_every_cut_is_refused(tmp_path):
    content = writer.model({"a": torch.ones(2), "b": torch.ones(1, 2).half()}, [("c", "a")])
    read_ctranslate2(written(tmp_path, content))
    for length in range(len(content)):
        with pytest.raises(ValueError, match="is no model of CTranslate2"):
            read_ctranslate2(written(tmp_path, content[:length]))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.bin does not exist"):
        read_ctranslate2(tmp_path / "model.bin")
    (tmp_path / "model.bin").mkdir()
    with pytest.raises(ValueError, match="it is not a file"):
        read_ctranslate2(tmp_path / "model.bin")
