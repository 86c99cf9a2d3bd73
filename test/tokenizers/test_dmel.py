"""dMel against codes from the authors' package, and its round trip."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(lambda folder: {})


GOLDEN = Path(__file__).resolve().parents[1] / "assets" / "dmel_golden.npz"
STEP = 0.6


@pytest.fixture
def tokenizer():
    return load_tokenizer("dmel")


def test_codes_equal_those_of_the_authors(tokenizer, speech):
    # Made with PyPI's dmel 1.0.1, without its first and last frame (start and end marks).
    golden = torch.from_numpy(np.load(GOLDEN)["codes"].astype(np.int64))
    codes, _ = tokenizer.encode(speech[None], torch.tensor([len(speech)]))
    assert codes[0].shape == golden.shape == (81, 80)
    # A value on a boundary may fall to either side with another FFT library.
    assert (codes[0] != golden).sum() <= 2


def test_round_trip_loses_half_a_step_at_most(tokenizer, speech):
    codes, lens = tokenizer.encode(speech[None], torch.tensor([len(speech)]))
    exact = tokenizer.log_mel(speech)
    assert exact.min() > -7 and exact.max() < 2
    error = (tokenizer.decode(codes, lens)[0] - exact).abs()
    assert error.max() <= STEP / 2 + 1e-5
    assert error.max() > STEP / 4


def test_values_outside_the_range_get_the_outer_levels(tokenizer):
    silence, _ = tokenizer.encode(torch.zeros(1, 8000), torch.tensor([8000]))
    assert (silence <= 1).all()
    loud = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)).clamp(-1.9, 1.9)
    codes, _ = tokenizer.encode(loud, torch.tensor([8000]))
    assert codes.max() <= 15


def test_decode_knows_padding(tokenizer, speech):
    audio = torch.stack([speech[:16000], torch.zeros(16000)])
    codes, lens = tokenizer.encode(audio, torch.tensor([16000, 4000]))
    decoded = tokenizer.decode(codes, lens)
    assert (codes[1, lens[1] :] == 16).all()
    assert (decoded[1, lens[1] :] == -7).all()


def test_codebooks_are_the_levels(tokenizer):
    codebooks = tokenizer.codebooks()
    assert len(codebooks) == 80
    torch.testing.assert_close(codebooks[3][:, 0], -7 + STEP * torch.arange(16.0))


LENGTHS = (800, 801, 1023, 1199, 1200, 1201, 1599, 1600, 1999, 2000, 2001)


@pytest.mark.parametrize("num_samples, num_frames", zip(LENGTHS, (3, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6)))
def test_frame_counts(tokenizer, speech, num_samples, num_frames):
    assert tokenizer.encode(speech[None, :num_samples], torch.tensor([num_samples]))[1] == num_frames


def test_bit_rate(tokenizer):
    assert tokenizer.spec.bits_per_second == 80 * 4 * 40
