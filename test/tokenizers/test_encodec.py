"""EnCodec against its authors' package encodec 0.1.1 and transformers' own encode, on the same random weights."""

import importlib.util

import pytest
import torch
from codec_checks import assert_golden, encode_whole, make_codec
from toy_codecs import DIM, NUM_FILTERS, encodec, encodec_weights
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.encodec import overlap_add

TOY = Toy(encodec)


def test_codes_and_audio_are_those_of_the_package(tmp_path, speech):
    assert_golden(make_codec("encodec", encodec(tmp_path)), "encodec", speech)


def test_48khz_segments_and_audio_are_those_of_the_package(tmp_path, speech):
    tokenizer = make_codec("encodec", encodec(tmp_path, stereo=True))
    samples = speech.repeat(4)[:100000]
    assert_golden(tokenizer, "encodec_stereo", samples)
    spec = tokenizer.spec
    assert (spec.sample_rate_hz, spec.frame_rate_hz) == (48000, 151.515152)


@pytest.mark.skipif(importlib.util.find_spec("encodec") is None, reason="the package encodec is not installed")
def test_codes_equal_the_installed_package(tmp_path, speech):
    from encodec.modules import SEANetEncoder
    from encodec.quantization import ResidualVectorQuantizer

    weights = encodec_weights()
    parts = {
        "encoder.": SEANetEncoder(n_filters=NUM_FILTERS, dimension=DIM, causal=True),
        "quantizer.": ResidualVectorQuantizer(dimension=DIM, n_q=4, bins=1024),
    }
    for prefix, module in parts.items():
        module.eval().load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})
    tokenizer = make_codec("encodec", encodec(tmp_path))
    for samples in (speech[:320], speech[:321], speech[5000:13001]):
        with torch.no_grad():
            reference = parts["quantizer."].encode(parts["encoder."](samples[None, None]), 75, 3.0)
        assert torch.equal(encode_whole(tokenizer, samples), reference[:, 0].t())


def test_codes_equal_transformers_own_encode(tmp_path, speech):
    from transformers import EncodecModel

    tokenizer = make_codec("encodec", encodec(tmp_path))
    model = EncodecModel.from_pretrained(tmp_path).eval()
    samples = speech[:8001]
    with torch.no_grad():
        reference = model.encode(samples[None, None], bandwidth=3.0).audio_codes[0, 0].t()
    assert torch.equal(encode_whole(tokenizer, samples), reference)


def test_loudness_of_a_segment_is_divided_out(tmp_path, speech):
    tokenizer = make_codec("encodec", encodec(tmp_path, stereo=True))
    assert torch.equal(encode_whole(tokenizer, speech), encode_whole(tokenizer, speech * 0.5))
    mono = make_codec("encodec", encodec(tmp_path))
    assert not torch.equal(encode_whole(mono, speech), encode_whole(mono, speech * 0.5))


def test_overlap_add_of_equal_pieces_is_their_signal(speech):
    signal = speech[None, :1000]
    pieces = [signal[:, start : start + 400] for start in range(0, 1000, 300)]
    torch.testing.assert_close(overlap_add(pieces, 300), signal)


def test_bit_rate_of_6_kbps(tmp_path):
    """Figures of a spec with 8 of the published codebooks, as the paper prints them: 75 Hz x 8 x 10 bit."""
    spec = make_codec("encodec", {**encodec(tmp_path), "num_codebooks": 4}).spec
    assert spec.codebook_sizes == (1024,) * 4
    assert spec.bits_per_second == 3000.0


@pytest.mark.parametrize("kbps, number", [("1.5kbps", 2), ("3kbps", 4), ("6kbps", 8), ("12kbps", 16), ("24kbps", 32)])
def test_presets_of_24khz(kbps, number):
    config = load_tokenizer(f"encodec_{kbps}").config
    assert (config.model, config.num_codebooks) == ("facebook/encodec_24khz", number)


def test_a_model_of_another_type_is_refused(tmp_path):
    encodec(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"encodec"', '"bert"'))
    with pytest.raises(ValueError, match="is a model of type 'bert', expected 'encodec'"):
        make_codec("encodec", {"model": str(tmp_path)}).spec  # noqa: B018


def test_missing_weights_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    encodec(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layers.0.conv.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 weights of EncodecModel \(encoder.layers.0.conv.bias"):
        make_codec("encodec", {"model": str(tmp_path)}).spec  # noqa: B018
