"""HiFi-Codec against AcademiCodec's code, its fixed widths divided by four, on the same random weights."""

import pytest
import torch
from codec_checks import assert_golden, encode_whole, make_codec
from safetensors.torch import save_file
from toy_codecs import hificodec, hificodec_weights
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(hificodec)


def test_codes_and_audio_are_those_of_the_authors(tmp_path, speech):
    assert_golden(make_codec("hificodec", hificodec(tmp_path)), "hificodec", speech)


def test_240_samples_a_frame_are_those_of_the_authors(tmp_path, speech):
    save_file(hificodec_weights((8, 5, 3, 2), (16, 11, 7, 4)), tmp_path / "hifi.safetensors")
    tokenizer = make_codec("hificodec", {"model": str(tmp_path / "hifi.safetensors"), "codec_rate_hz": 24000})
    assert_golden(tokenizer, "hificodec_24k_240", speech)
    assert tokenizer.spec.frame_rate_hz == 100.0


def test_two_codebooks_are_the_groups_and_decode(tmp_path, speech):
    settings = hificodec(tmp_path)
    whole, groups = (make_codec("hificodec", {**settings, "num_codebooks": number}) for number in (0, 2))
    samples = speech[:8000]
    codes = encode_whole(groups, samples)
    assert torch.equal(codes, encode_whole(whole, samples)[:, :2])
    assert groups.decode(codes[None], torch.tensor([25])).shape == (1, 8000)
    assert groups.spec.bits_per_second == 50 * 2 * 5


def test_weights_of_another_model_are_refused(tmp_path):
    save_file({"encoder.conv_pre.weight": torch.zeros(2, 1, 7)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors, .* has no weight 'bias'; is it a checkpoint of another"):
        make_codec("hificodec", {"model": str(tmp_path / "other.safetensors")}).spec  # noqa: B018


@pytest.mark.parametrize(
    "name, rate_hz", [("hificodec", 16000), ("hificodec_24khz_320", 24000), ("hificodec_24khz_240", 24000)]
)
def test_presets(name, rate_hz):
    assert load_tokenizer(name).config.codec_rate_hz == rate_hz
