"""Mimi against transformers' model on random weights."""

import pytest
import torch
from codec_checks import encode_whole, make_codec
from toy_codecs import MIMI_LAYERS, MIMI_WINDOW, mimi
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(mimi)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("mimi")
    mimi(made)
    return str(made)


def test_codes_and_audio_equal_transformers(folder, speech):
    from transformers import MimiModel

    model = MimiModel.from_pretrained(folder).eval()
    if "encoder_transformer" in dict(model.named_children()):
        pytest.skip("this transformers attends to the future; what ours does instead is tested below")
    tokenizer = make_codec("mimi", {"model": folder, "num_codebooks": 4})
    samples = speech[: 8 * 1920]
    with torch.no_grad():
        reference = model.encode(samples[None, None], num_quantizers=4).audio_codes
        audio = model.decode(reference).audio_values
    codes = encode_whole(tokenizer, samples)
    assert torch.equal(codes, reference[0].t())
    assert torch.equal(tokenizer.decode(codes[None], torch.tensor([8])), audio[0])


def test_spec(folder):
    spec = make_codec("mimi", {"model": folder, "num_codebooks": 4}).spec
    assert (spec.sample_rate_hz, spec.frame_rate_hz, spec.num_codebooks) == (24000, 12.5, 4)


def test_nothing_is_known_of_the_future(folder, speech):
    """Older releases of transformers leave the causal mask out: codes of a beginning must be a beginning of codes."""
    tokenizer = make_codec("mimi", {"model": folder, "num_codebooks": 4})
    whole = encode_whole(tokenizer, speech[: 16 * 1920])
    assert torch.equal(encode_whole(tokenizer, speech[: 7 * 1920]), whole[:7])
    audio = tokenizer.decode(whole[None], torch.tensor([16]))
    beginning = tokenizer.decode(whole[None, :7], torch.tensor([7]))
    torch.testing.assert_close(beginning, audio[:, : 7 * 1920], atol=1e-4, rtol=1e-4)


def test_what_lies_before_the_window_is_forgotten(folder, speech):
    tokenizer = make_codec("mimi", {"model": folder, "num_codebooks": 4})
    audio = speech.repeat(2)
    changed = torch.cat([torch.zeros(1920), audio[1920:]])
    first, second = encode_whole(tokenizer, audio), encode_whole(tokenizer, changed)
    # Two frames of attention are one of codes; the convolutions see two more frames.
    seen = MIMI_LAYERS * MIMI_WINDOW // 2 + 3
    assert not torch.equal(first[:seen], second[:seen])
    assert torch.equal(first[seen:], second[seen:])


def test_the_last_frame_is_filled_up_with_zeros(folder, speech):
    tokenizer = make_codec("mimi", {"model": folder, "num_codebooks": 4})
    samples = speech[:7000]
    filled = torch.nn.functional.pad(samples, (0, 4 * 1920 - 7000))
    assert torch.equal(encode_whole(tokenizer, samples), encode_whole(tokenizer, filled))


def test_the_first_codebook_stands_alone(folder, speech):
    """The others code the states themselves, not what the first one left over; all have vectors."""
    first, whole = (make_codec("mimi", {"model": folder, "num_codebooks": number}) for number in (1, 0))
    assert torch.equal(encode_whole(first, speech[:7680]), encode_whole(whole, speech[:7680])[:, :1])
    assert [book.shape for book in whole.codebooks()] == [(32, 16)] * 6


def test_preset():
    assert load_tokenizer("mimi").config.num_codebooks == 8
