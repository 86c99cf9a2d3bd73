"""Speech for the tests of tokenizers: two seconds of a real voice, and pieces of it."""

from pathlib import Path

import pytest
import soundfile
import torch

ASSETS = Path(__file__).resolve().parents[1] / "assets"


@pytest.fixture(scope="session")
def speech():
    """A prompt of 2.02 s at 16 kHz, "please enter the number you wish to call": (S,) float32."""
    samples, rate = soundfile.read(ASSETS / "speech.flac", dtype="float32")
    assert rate == 16000
    return torch.from_numpy(samples)


@pytest.fixture(scope="session")
def fit_audio(speech):
    """Ten pieces of the prompt with their names, as a tokenizer's `fit` takes them."""
    return [(speech[start : start + 12000], f"piece-{start}") for start in range(0, 20000, 2000)]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """One thread, as in extraction: sums do not depend on how they are divided."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
