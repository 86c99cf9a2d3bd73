"""What many tests need: one thread, a real voice, and a corpus of synthetic codes."""

from pathlib import Path

import pytest
import soundfile
import torch

ASSETS = Path(__file__).resolve().parent / "assets"
torch.set_num_threads(1)  # for fixtures that are made before the first test


@pytest.fixture(autouse=True)
def one_thread():
    """One thread, whatever a stage that ran in this process asked for, and numbers as torch has them by default.

    Commands set both, for processes of their own as they think.

    Tiny models gain nothing from more threads, and lose much where the machine is shared; and sums do not depend on how
    they are divided, as in extraction.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)
    yield
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)


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


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory):
    """A small corpus of synthetic codes, with pieces."""
    from synthetic_codes import write_corpus

    return write_corpus(tmp_path_factory.mktemp("synthetic") / "corpus")
