"""WavTokenizer against its authors' code on the same random weights: 40 and 75 Hz, and the way back to audio."""

import pytest
import torch
from codec_checks import assert_golden, make_codec
from toy_codecs import wavtokenizer, wavtokenizer_weights
from toy_tokenizers import Toy

from icefall_discrete.nn.inverse_stft import inverse_stft
from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(wavtokenizer)


def test_codes_and_audio_are_those_of_the_authors(tmp_path, speech):
    tokenizer = make_codec("wavtokenizer", wavtokenizer(tmp_path))
    assert_golden(tokenizer, "wavtokenizer", speech)
    assert (tokenizer.sample_rate_hz, tokenizer.spec.frame_rate_hz, tokenizer.spec.num_codebooks) == (24000, 40.0, 1)


def test_75_hz_is_that_of_the_authors(tmp_path, speech):
    torch.save({"state_dict": wavtokenizer_weights((8, 5, 4, 2))}, tmp_path / "75.ckpt")
    tokenizer = make_codec("wavtokenizer", {"model": str(tmp_path / "75.ckpt")})
    assert_golden(tokenizer, "wavtokenizer_75", speech)
    assert tokenizer.spec.frame_rate_hz == 75.0


def test_inverse_stft_inverts_a_spectrum_of_speech(speech):
    speech = speech[:32000]
    hop, size = 80, 320
    window = torch.hann_window(size)
    padded = torch.nn.functional.pad(speech, ((size - hop) // 2, (size - hop) // 2))
    frames = padded.unfold(0, size, hop)
    spectrum = torch.fft.rfft(frames * window, dim=1).t()
    torch.testing.assert_close(inverse_stft(spectrum[None], window, hop)[0], speech, atol=1e-5, rtol=0)


def test_a_decoder_of_another_kind_is_refused(tmp_path):
    weights = {name: value for name, value in wavtokenizer_weights().items() if ".pos_net.2." not in name}
    torch.save({"state_dict": weights}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="the decoder's weights are not those of WavTokenizer"):
        make_codec("wavtokenizer", {"model": str(tmp_path / "other.ckpt")}).spec  # noqa: B018


@pytest.mark.parametrize(
    "name",
    ["wavtokenizer_40", "wavtokenizer_75", "wavtokenizer_medium_75", "wavtokenizer_large_40", "wavtokenizer_large_75"],
)
def test_presets(name):
    assert load_tokenizer(name).config.model.startswith("novateur/WavTokenizer")
