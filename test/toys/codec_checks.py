"""What the tests of codecs share: making one from settings, and comparing it with its authors' code."""

from pathlib import Path

import numpy as np
import torch
from toy_tokenizers import make_tokenizer

from icefall_discrete.tokenizers import find_tokenizer, tokenizer_names
from icefall_discrete.tokenizers.networks.codec import CodecTokenizer

GOLDEN = Path(__file__).resolve().parents[1] / "assets" / "codec_golden.npz"
# Every so many samples of the audio are kept.
STEP = 41


def make_codec(tokenizer, settings):
    """The tokenizer of this module name with `settings`, the others at their defaults."""
    return make_tokenizer(tokenizer, settings)


def codec_names():
    """Names of the tokenizers that are codecs with weights of their own."""
    classes = {name: find_tokenizer(name).tokenizer for name in tokenizer_names()}
    return [name for name, cls in classes.items() if issubclass(cls, CodecTokenizer) and not cls.needs_fit]


def encode_whole(tokenizer, samples):
    """Codes (T, K) of one utterance (S,)."""
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


def assert_golden(tokenizer, name, samples, edge=0):
    """Codes equal those of the authors' code, and so does the audio, to rounding.

    edge: frames at both ends whose codes are not looked at.
    """
    with np.load(GOLDEN) as golden:
        codes = torch.from_numpy(golden[f"{name}_codes"].astype(np.int64))
        audio = torch.from_numpy(golden[f"{name}_audio"])
        num_samples = int(golden[f"{name}_samples"])
    found = encode_whole(tokenizer, samples)
    assert found.shape == codes.shape
    inner = slice(edge, len(codes) - edge)
    assert torch.equal(found[inner], codes[inner])
    decoded = tokenizer.decode(codes[None], torch.tensor([len(codes)]))
    assert decoded.shape == (1, num_samples)
    difference = (decoded[0, ::STEP] - audio).abs().max()
    assert difference < 1e-4 * audio.std(), f"{float(difference):.3g} of {float(audio.std()):.3g}"
