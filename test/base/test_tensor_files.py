"""Files of tensors: the usual mode, the same bytes, one sentence for each damage; so for what is kept in them."""

import json
import os
import struct

import pytest
import torch

from icefall_discrete.base.tensor_files import as_text, read_tensors, write_tensors
from icefall_discrete.experiment.folder import read_codebooks
from icefall_discrete.lm.folder import load_language_model
from icefall_discrete.lm.neural import LstmLm, NeuralLmConfig

BOOK = torch.arange(12.0).reshape(4, 3)


def test_round_trip_with_the_mode_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_tensors(tmp_path / "a.safetensors", {"b": BOOK.t(), "a": BOOK}, {"made": as_text({"seed": 1})})
        write_tensors(tmp_path / "b.safetensors", {"a": BOOK, "b": BOOK.t()}, {"made": as_text({"seed": 1})})
        (tmp_path / "usual").write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    found = read_tensors(tmp_path / "a.safetensors", "make it anew")
    assert torch.equal(found.tensors["b"], BOOK.t()) and found.made == {"made": {"seed": 1}} and found.all_finite()
    assert list(read_tensors(tmp_path / "a.safetensors", "make it anew", lambda name: name == "a").tensors) == ["a"]


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda data: data[:-7], lambda data: data[:5], lambda data: b"", lambda data: b"\x80\x04N."),
        *(lambda data: struct.pack("<Q", 2**62) + data[8:], lambda data: data + b"x", lambda data: b"\0" * 40),
    ],
)
def test_damage_is_one_sentence(tmp_path, damage):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"0": BOOK})
    path.write_bytes(damage(path.read_bytes()))
    for read in (lambda: read_tensors(path, "make it anew"), lambda: read_codebooks(path)):
        with pytest.raises(ValueError, match=r"a\.safetensors cannot be read \(.+\); ") as caught:
            read()
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"b\.safetensors does not exist; make it anew\."):
        read_tensors(tmp_path / "b.safetensors", "make it anew")


@pytest.mark.parametrize(
    "tensors",
    [{}, {"1": BOOK}, {"0": BOOK[0]}, {"0": BOOK * torch.nan}, {"0": BOOK.long()}, {"0": BOOK, "a": BOOK + 1}],
)
def test_codebooks_that_are_none_are_refused(tmp_path, tensors):
    path = tmp_path / "codebooks.safetensors"
    write_tensors(path, tensors)
    with pytest.raises(ValueError, match=r"codebooks\.safetensors holds .*expected finite codebooks \(V, D\)"):
        read_codebooks(path)


@pytest.fixture
def folder(tmp_path):
    config = NeuralLmConfig(lm_dim=8, lm_layers=1)
    write_tensors(tmp_path / "model.safetensors", LstmLm(config, 5).state_dict())
    model = {"lm_dim": 8, "lm_layers": 1}
    facts = {"lm_unit": "pieces", "lm_type": "lstm", "pieces_sha256": "0", "vocab_size": 5, "model": model}
    (tmp_path / "lm.json").write_text(json.dumps(facts))
    load_language_model(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_type": "gpt"}, r"lm\.json: 'lm_type' is 'gpt', expected one of ngram, lstm, transformer"),
        ({"vocab_size": 10**12}, r"lm\.json: 'vocab_size' is 1000000000000, expected a number of pieces"),
        ({"vocab_size": None}, r"lm\.json: 'vocab_size' is None"),
        ({"vocab_size": 6}, r"model\.safetensors is not the model that lm\.json beside it tells of"),
        ({"lm_type": "transformer"}, r"model\.safetensors is not the model that lm\.json beside it tells of"),
        ({"model": {"lm_dim": 8, "lm_layers": 10**9}}, r"model\.safetensors is not the model"),
        ({"model": {"lm_dim": 8, "lm_heads": 0}}, r"lm\.json: .*lm_heads"),
        ({"model": []}, r"lm\.json: it holds a list, expected an object"),
    ],
)
def test_a_language_model_is_what_its_facts_say(folder, changes, message):
    facts = json.loads((folder / "lm.json").read_text())
    (folder / "lm.json").write_text(json.dumps({**facts, **changes}))
    with pytest.raises(ValueError, match=message) as caught:
        load_language_model(folder)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(folder):
    path = folder / "model.safetensors"
    tensors = read_tensors(path, "").tensors
    write_tensors(path, {**tensors, "output_bias": tensors["output_bias"] / 0})
    with pytest.raises(ValueError, match=r"model\.safetensors holds numbers that are not finite"):
        load_language_model(folder)
