"""X-Codec against transformers' model on random weights, where transformers has it."""

import sys
import types

import pytest
import torch
from codec_checks import encode_whole, make_codec
from toy_codecs import xcodec
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(xcodec)


transformers = pytest.importorskip("transformers")
needs_xcodec = pytest.mark.skipif(
    not hasattr(transformers, "XcodecModel"), reason="the installed transformers has no XcodecModel"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("xcodec")
    xcodec(made)
    return str(made)


@needs_xcodec
def test_codes_and_audio_equal_transformers(folder, speech):
    model = transformers.XcodecModel.from_pretrained(folder).eval()
    tokenizer = make_codec("xcodec", {"model": folder, "num_codebooks": 2})
    samples = speech[: 40 * 320]
    with torch.no_grad():
        reference = model.encode(samples[None, None], bandwidth=0.5).audio_codes
        audio = model.decode(reference).audio_values
    codes = encode_whole(tokenizer, samples)
    assert reference.shape[1] == 2
    assert torch.equal(codes, reference[0].t())
    assert torch.equal(tokenizer.decode(codes[None], torch.tensor([40])), audio[0])


@needs_xcodec
def test_any_number_of_codebooks_and_of_samples(folder, speech):
    tokenizer = make_codec("xcodec", {"model": folder, "num_codebooks": 3})
    assert tokenizer.spec.codebook_sizes == (32,) * 3
    for size in (320, 321, 479, 480, 481, 6399, 6400, 6401):
        assert encode_whole(tokenizer, speech[:size]).shape == (-(-size // 320), 3)


def test_a_transformers_without_it_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "xcodec"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(__version__="4.47.1"))
    with pytest.raises(ImportError, match=r"transformers 4\.47\.1 has no XcodecModel; a newer one has"):
        make_codec("xcodec", {"model": str(tmp_path)}).spec  # noqa: B018


def test_preset():
    assert load_tokenizer("xcodec").config.num_codebooks == 8
