"""SpeechTokenizer against the codes and audio of the PyPI package speechtokenizer 1.0.1 on the same random weights."""

import pytest
import torch
from codec_checks import assert_golden, make_codec
from toy_codecs import DIM, seanet_codec, speechtokenizer
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(speechtokenizer)


def test_codes_and_audio_are_those_of_the_package(tmp_path, speech):
    assert_golden(make_codec("speechtokenizer", speechtokenizer(tmp_path)), "speechtokenizer", speech)


def test_snake_and_two_residual_blocks_are_those_of_the_package(tmp_path, speech):
    weights = seanet_codec((8, 5, 4, 2), 3, bidirectional=True, snake=True, num_blocks=2)
    torch.save(weights, tmp_path / "snake.pt")
    tokenizer = make_codec("speechtokenizer", {"model": str(tmp_path / "snake.pt")})
    assert_golden(tokenizer, "speechtokenizer_snake", speech)


def test_spec(tmp_path):
    spec = make_codec("speechtokenizer", speechtokenizer(tmp_path)).spec
    assert (spec.sample_rate_hz, spec.frame_rate_hz, spec.num_codebooks) == (16000, 50.0, 8)
    assert spec.provenance["model"] == "SpeechTokenizer.pt"
    assert len(spec.provenance["model_sha256"]) == 64


def test_fewer_codebooks_are_the_first_ones(tmp_path, speech):
    settings = speechtokenizer(tmp_path)
    whole, two = (make_codec("speechtokenizer", {**settings, "num_codebooks": number}) for number in (0, 2))
    num_samples = torch.tensor([len(speech)])
    codes, _ = two.encode(speech[None], num_samples)
    assert torch.equal(codes, whole.encode(speech[None], num_samples)[0][..., :2])
    assert [book.shape for book in two.codebooks()] == [(32, DIM)] * 2


@pytest.mark.parametrize("number", [-1, 9])
def test_more_codebooks_than_there_are_is_refused(tmp_path, number):
    with pytest.raises(ValueError, match=rf"num_codebooks is {number}, but .*SpeechTokenizer.pt has 8; choose 1 to 8"):
        make_codec("speechtokenizer", {**speechtokenizer(tmp_path), "num_codebooks": number}).spec  # noqa: B018


def test_presets():
    assert load_tokenizer("speechtokenizer").config.num_codebooks == 0
    assert load_tokenizer("speechtokenizer_rvq1").config.num_codebooks == 1
    assert load_tokenizer("speechtokenizer_1kbps").config.num_codebooks == 2
