"""SEANet codecs against AcademiCodec's and EnCodec's own code on the same random weights."""

import pytest
import torch
from codec_checks import assert_golden, encode_whole, make_codec
from toy_codecs import encodec_weights, seanet_codec, soundstream
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(soundstream)


def test_codes_and_audio_without_lstm_are_those_of_the_authors(tmp_path, speech):
    assert_golden(make_codec("soundstream", soundstream(tmp_path)), "soundstream", speech)


def test_codes_and_audio_with_lstm_and_240_samples_a_frame_are_those_of_the_authors(tmp_path, speech):
    torch.save(seanet_codec((6, 5, 4, 2), 4), tmp_path / "codec.pth")
    tokenizer = make_codec("soundstream", {"model": str(tmp_path / "codec.pth"), "codec_rate_hz": 24000})
    assert_golden(tokenizer, "soundstream_24k_240", speech)
    assert (tokenizer.sample_rate_hz, tokenizer.spec.frame_rate_hz) == (24000, 100.0)


def test_original_encodec_weights_are_read(tmp_path, speech):
    """The causal 24 kHz EnCodec in its own names, as published before transformers had it."""
    torch.save({"best_state": encodec_weights()}, tmp_path / "encodec_24khz.th")
    settings = {"model": str(tmp_path / "encodec_24khz.th"), "codec_rate_hz": 24000, "causal": True}
    assert_golden(make_codec("soundstream", settings), "encodec", speech)


def test_causality_changes_codes(tmp_path, speech):
    settings = soundstream(tmp_path)
    causal = make_codec("soundstream", {**settings, "causal": True})
    assert not torch.equal(encode_whole(causal, speech), encode_whole(make_codec("soundstream", settings), speech))


def test_a_causal_encoder_does_not_look_ahead(tmp_path, speech):
    tokenizer = make_codec("soundstream", {**soundstream(tmp_path), "causal": True})
    assert torch.equal(encode_whole(tokenizer, speech[:9600]), encode_whole(tokenizer, speech)[:30])


@pytest.mark.parametrize("rate_khz", [16, 24])
def test_presets(rate_khz):
    assert load_tokenizer(f"academicodec_encodec_{rate_khz}khz").config.codec_rate_hz == 1000 * rate_khz
