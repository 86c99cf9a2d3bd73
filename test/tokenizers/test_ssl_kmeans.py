"""Tokens of SSL layers: with centroids fitted here or published, and refused when they are another model's."""

import json
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.cluster import MiniBatchKMeans
from toy_tokenizers import Toy, make_tokenizer

from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.formats.kmeans_files import read_centroids
from icefall_discrete.tokenizers.frames.ssl import SslFrames, SslSettings

CHECKPOINTS = Path(__file__).resolve().parents[1] / "assets" / "fairseq"
MODEL = str(CHECKPOINTS / "hubert.pt")
TOY = Toy(
    lambda folder: {
        "model": str(CHECKPOINTS / "wav2vec2.pt"),
        "layer": 3,
        "max_chunk_sec": 1.0,
        "num_clusters": 8,
        "fit_memory_mib": 8,
    },
    edge_frames=2,
)


def frames_of(samples, layer=2):
    return SslFrames(SslSettings(model=MODEL, layer=layer)).frames(samples)


@pytest.fixture(scope="module")
def published(speech, tmp_path_factory):
    """A k-means as fairseq's scripts leave it, and its file."""
    frames = frames_of(speech).numpy()
    model = MiniBatchKMeans(9, batch_size=200, n_init=3, random_state=0, reassignment_ratio=0.0).fit(frames)
    path = tmp_path_factory.mktemp("km") / "km.bin"
    joblib.dump(model, path)
    return model, path


def tokenizer_of(path, state_dir=None, **settings):
    values = {"model": MODEL, "layer": 2, "num_clusters": 9, "kmeans_path": str(path), **settings}
    return make_tokenizer("ssl_kmeans", values, state_dir)


def codes_of(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0, :, 0]


def test_published_centroids_need_no_fit_and_give_the_codes_of_their_model(published, speech, fit_audio, tmp_path):
    model, path = published
    tokenizer = tokenizer_of(path)
    assert tokenizer.is_fitted and not tokenizer.needs_fit
    expected = model.predict(frames_of(speech).numpy())
    assert len(set(expected)) == 9
    np.testing.assert_array_equal(codes_of(tokenizer, speech).numpy(), expected)
    np.testing.assert_array_equal(tokenizer.codebooks()[0].numpy(), model.cluster_centers_.astype(np.float32))
    with pytest.raises(ValueError, match="needs no fitting"):
        tokenizer.fit(fit_audio, tmp_path, seed=0)


def test_provenance_is_of_the_centroids_and_not_of_their_place(published, speech, tmp_path):
    _, path = published
    copy = tmp_path / "state" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    spec = tokenizer_of(path).spec
    spec.require_same(tokenizer_of(copy).spec, "the file", "its copy")
    assert not any("km.bin" in str(value) for value in spec.provenance.values())
    assert {"model", "model_sha256", "layer", "normalisation", "kmeans_sha256"} <= set(spec.provenance)
    # An experiment keeps the state beside its settings; the original may be gone.
    moved = tokenizer_of(tmp_path / "gone" / path.name, copy.parent)
    assert moved.state_files == [copy]
    assert torch.equal(codes_of(moved, speech), codes_of(tokenizer_of(path), speech))
    joblib.dump(MiniBatchKMeans(9, n_init=1, random_state=5).fit(frames_of(speech).numpy()), copy)
    assert set(spec.differences(tokenizer_of(copy).spec)) == {"provenance.kmeans_sha256"}
    assert set(spec.differences(tokenizer_of(path, layer=3).spec)) == {"provenance.layer"}
    assert set(spec.differences(tokenizer_of(path, normalize="none").spec)) == {
        "provenance.normalisation",
        "provenance.normalize",
    }


def test_centroids_that_do_not_fit_are_refused(published, speech, tmp_path):
    _, path = published
    with pytest.raises(ValueError, match=r"holds centroids \(9, 12\) with 0 NaN, expected 8 finite ones"):
        _ = tokenizer_of(path, num_clusters=8).spec
    np.save(tmp_path / "other.npy", np.zeros((9, 5), np.float32))
    with pytest.raises(ValueError, match="have 5 dimensions, but the frames of 'toy' 12"):
        codes_of(tokenizer_of(tmp_path / "other.npy"), speech)
    with pytest.raises(FileNotFoundError, match=r"none\.km"):
        _ = tokenizer_of(tmp_path / "none.km").spec
    with pytest.raises(ValueError, match="standardize is set"):
        tokenizer_of(path, standardize=True)


def test_our_own_centroids_can_be_given_to_others(speech, fit_audio, tmp_path):
    conf = {"tokenizer": "ssl_kmeans", "model": MODEL, "layer": 2, "num_clusters": 9, "standardize": True}
    (tmp_path / "mine.json").write_text(json.dumps(conf))
    fitted = load_tokenizer("mine", [tmp_path], tmp_path / "state")
    (tmp_path / "state").mkdir()
    fitted.fit(fit_audio, tmp_path / "state", seed=0)
    assert not np.array_equal(read_centroids(fitted.quantizer.state_path)["scale"], np.ones(12))
    assert torch.equal(codes_of(tokenizer_of(fitted.quantizer.state_path), speech), codes_of(fitted, speech))


def test_centroids_fitted_on_another_layer_are_refused(fit_audio, tmp_path):
    conf = {"tokenizer": "ssl_kmeans", "model": MODEL, "layer": 2, "num_clusters": 9}
    (tmp_path / "mine.json").write_text(json.dumps(conf))
    load_tokenizer("mine", [tmp_path]).fit(fit_audio, tmp_path, seed=0)
    (tmp_path / "mine.json").write_text(json.dumps({**conf, "layer": 3}))
    with pytest.raises(ValueError, match="layer: 2 against 3"):
        _ = load_tokenizer("mine", [tmp_path], tmp_path).spec
