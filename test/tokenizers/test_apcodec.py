"""APCodec against its authors' code on the same random weights: both layouts, and what is refused."""

import pytest
import torch
from codec_checks import assert_golden, encode_whole, make_codec
from toy_apcodec import apcodec, with_noise
from toy_tokenizers import Toy

TOY = Toy(apcodec)
# Where spectra hear the mirrored ends of the audio, whose phases are 0 or half a turn, to the one side or the other as
# a Fourier transform rounds.
EDGE = 7


@pytest.mark.parametrize("projected, rate_hz", [(False, 50.0), (True, 150.0)])
def test_codes_and_audio_are_those_of_the_authors(projected, rate_hz, tmp_path, speech):
    tokenizer = make_codec("apcodec", apcodec(tmp_path, projected))
    assert_golden(tokenizer, "apcodec_projected" if projected else "apcodec", with_noise(speech), EDGE)
    assert (tokenizer.spec.frame_rate_hz, tokenizer.spec.num_codebooks) == (rate_hz, 4)


@pytest.mark.parametrize("projected", [False, True])
def test_frames_follow_the_length_and_fewer_codebooks_are_the_first(projected, tmp_path, speech):
    settings = apcodec(tmp_path, projected)
    tokenizer, fewer = (make_codec("apcodec", {**settings, "num_codebooks": number}) for number in (0, 2))
    for size, frames in ((320, 2), (639, 2), (640, 3)):
        whole = encode_whole(tokenizer, speech[:size])
        assert len(whole) == frames
        assert torch.equal(encode_whole(fewer, speech[:size]), whole[:, :2])
        assert tokenizer.decode(whole[None], torch.tensor([frames])).shape == (1, frames * 320 - 40)


def test_both_files_are_needed_and_the_window_must_fit(tmp_path):
    settings = apcodec(tmp_path)
    with pytest.raises(ValueError, match=r"window_samples is 300, but .*encoder_16k_4kbps transforms 256 samples"):
        make_codec("apcodec", {**settings, "window_samples": 300}).spec  # noqa: B018
    other = (tmp_path / "encoder_16k_4kbps").rename(tmp_path / "other")
    with pytest.raises(ValueError, match=r"other has no 'encoder' in its name, so that its decoder cannot be found"):
        make_codec("apcodec", {"model": str(other)}).spec  # noqa: B018
    alone = other.rename(tmp_path / "encoder_alone")
    with pytest.raises(FileNotFoundError, match="decoder_alone': this file does not exist"):
        make_codec("apcodec", {"model": str(alone)}).spec  # noqa: B018
