"""Tokens of Whisper states: they follow what is said, and their provenance names the model."""

import pytest
import torch
from real_weights import real_weights

from icefall_discrete.tokenizers import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, fit_audio):
    real_weights("whisper_tiny_en")
    folder = tmp_path_factory.mktemp("whisper")
    (folder / "mine.json").write_text('{"tokenizer": "whisper_kmeans", "num_clusters": 24, "num_threads": 2}')
    tokenizer = load_tokenizer("mine", [folder], folder)
    tokenizer.fit(fit_audio, folder, seed=0)
    return tokenizer


def codes_of(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0, :, 0]


def test_codes_survive_a_change_of_loudness_better_than_those_of_the_spectrum(tokenizer, speech, fit_audio, tmp_path):
    (tmp_path / "spectrum.json").write_text('{"tokenizer": "fbank_kmeans", "num_clusters": 24}')
    spectrum = load_tokenizer("spectrum", [tmp_path], tmp_path)
    spectrum.fit(fit_audio, tmp_path, seed=0)
    kept = [
        (codes_of(tokenizer, speech) == codes_of(tokenizer, speech / 4)).float().mean()
        for tokenizer in (tokenizer, spectrum)
    ]
    assert kept[0] > 0.8
    assert kept[0] > kept[1] + 0.2


def test_provenance(tokenizer):
    spec = tokenizer.spec
    assert (spec.kind, spec.frame_rate_hz, spec.codebook_sizes) == ("codes", 50.0, (24,))
    assert {"model", "model_sha256", "layer", "pad_sec", "normalisation", "kmeans_sha256"} <= set(spec.provenance)
    assert "num_threads" not in spec.provenance
    assert {"scikit-learn", "torch"} <= set(spec.made_with)


def test_centroids_of_another_model_are_refused(tokenizer, tmp_path):
    conf = '{"tokenizer": "whisper_kmeans", "num_clusters": 24, "pad_sec": 2.0}'
    (tmp_path / "mine.json").write_text(conf)
    with pytest.raises(ValueError, match=r"pad_sec: 1\.0 against 2\.0"):
        load_tokenizer("mine", [tmp_path], tokenizer.state_dir).spec  # noqa: B018
