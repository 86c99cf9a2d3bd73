"""Fitting, the file of centroids, and what is refused."""

import logging
import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from toy_tokenizers import Toy, make_tokenizer

from icefall_discrete.base.clustering import FrameSample
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.quantizers import kmeans

SETTINGS = {"num_clusters": 12, "fit_memory_mib": 1, "num_full_passes": 5}
TOY = Toy(lambda folder: {"num_clusters": 8, "fit_memory_mib": 8})


def mfcc_kmeans(state_dir=None, settings=SETTINGS):
    return make_tokenizer("mfcc_kmeans", settings, state_dir)


def fitted(folder, audio, settings=SETTINGS, seed=3):
    tokenizer = mfcc_kmeans(settings=settings)
    tokenizer.fit(audio, folder, seed)
    return tokenizer


def encode(tokenizer, samples):
    return tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]


def test_same_seed_gives_the_same_file(tmp_path, fit_audio):
    fitted(tmp_path / "a", fit_audio)
    fitted(tmp_path / "b", iter(fit_audio))
    fitted(tmp_path / "c", fit_audio, seed=4)
    first, again, other = ((tmp_path / folder / "kmeans.safetensors").read_bytes() for folder in "abc")
    assert first == again
    assert first != other


@pytest.mark.parametrize("standardize", [False, True])
def test_codes_are_the_nearest_centroids(tmp_path, fit_audio, speech, standardize):
    tokenizer = fitted(tmp_path, fit_audio, {**SETTINGS, "standardize": standardize})
    stored = load_file(tmp_path / "kmeans.safetensors")
    frames = (tokenizer.frames(speech).numpy() - stored["mean"]) / stored["scale"]
    squared = ((frames[:, None].astype(np.float64) - stored["centroids"][None]) ** 2).sum(axis=2)
    assert encode(tokenizer, speech)[:, 0].tolist() == squared.argmin(axis=1).tolist()
    assert np.array_equal(tokenizer.codebooks()[0].numpy(), stored["centroids"])
    if standardize:
        everything = np.concatenate([tokenizer.frames(samples) for samples, _ in fit_audio])
        np.testing.assert_allclose(stored["mean"], everything.mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(stored["scale"], everything.std(axis=0), rtol=1e-3)


def test_another_tokenizer_reads_the_file(tmp_path, fit_audio, speech):
    tokenizer = fitted(tmp_path, fit_audio)
    reread = mfcc_kmeans(tmp_path)
    assert reread.is_fitted
    reread.spec.require_same(tokenizer.spec, "a", "b")
    assert torch.equal(encode(reread, speech), encode(tokenizer, speech))


def test_spec_follows_the_centroids_and_not_how_they_were_found(tmp_path, fit_audio):
    spec = fitted(tmp_path / "a", fit_audio).spec
    other = fitted(tmp_path / "b", fit_audio, seed=9).spec
    assert set(spec.differences(other)) == {"provenance.kmeans_sha256"}
    assert not set(kmeans.FIT_SETTINGS) & set(spec.provenance)
    assert (spec.codebook_sizes, spec.pad_ids) == ((12,), (12,))


def test_memory_is_bounded_by_the_setting(tmp_path, speech):
    # 3000 s of audio give 150 000 frames of 39 values, 22 MiB; the sample may hold 1 MiB.
    def frames(samples):
        return torch.randn(len(samples) // 320, 39, generator=torch.Generator().manual_seed(int(samples[0])))

    tokenizer = mfcc_kmeans()
    tokenizer.frames = frames
    stream = ((torch.full((160000,), index % 2), f"cut-{index}") for index in range(300))
    tracemalloc.start()
    tokenizer.fit(stream, tmp_path, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20
    assert tokenizer.is_fitted


def test_audio_that_cannot_be_encoded_is_left_out_and_named(tmp_path, fit_audio, caplog):
    bad = [(torch.full((16000,), float("nan")), "utt-nan"), (torch.zeros(10), "utt-short")]
    with caplog.at_level(logging.WARNING):
        fitted(tmp_path / "a", [*fit_audio[:4], *bad, *fit_audio[4:]])
    fitted(tmp_path / "b", fit_audio)
    assert "cut utt-nan" in caplog.text and "cut utt-short" in caplog.text
    assert "'non_finite': 1" in caplog.text and "'too_short': 1" in caplog.text
    assert (tmp_path / "a/kmeans.safetensors").read_bytes() == (tmp_path / "b/kmeans.safetensors").read_bytes()


def test_fewer_frames_than_clusters_is_refused(tmp_path, fit_audio):
    with pytest.raises(ValueError, match="1 utterances gave 38 frames, but 500 clusters"):
        fitted(tmp_path, fit_audio[:1], {})
    with pytest.raises(ValueError, match="0 utterances gave 0 frames"):
        fitted(tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_a_small_sample_is_warned_of(tmp_path, fit_audio, caplog, monkeypatch):
    monkeypatch.setattr(kmeans, "FrameSample", lambda capacity, dim, seed: FrameSample(50, dim, seed))
    fitted(tmp_path, fit_audio)
    assert "raise fit_memory_mib above 1" in caplog.text


def test_a_killed_fit_leaves_nothing_or_the_old_file(tmp_path, fit_audio, monkeypatch):
    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(kmeans, "write_tensors", die)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, fit_audio)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:5], lambda data: b"x" * 99])
def test_a_corrupt_file_says_what_to_do(tmp_path, fit_audio, damage):
    fitted(tmp_path, fit_audio)
    path = tmp_path / "kmeans.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"cannot be read .*move it aside and rerun stage 2"):
        mfcc_kmeans(tmp_path).spec  # noqa: B018


def test_a_pickle_is_not_read(tmp_path):
    (tmp_path / "kmeans.safetensors").write_bytes(pickle.dumps(np.zeros((12, 39))))
    with pytest.raises(ValueError, match="cannot be read"):
        mfcc_kmeans(tmp_path).spec  # noqa: B018


def test_centroids_of_another_feature_type_are_refused(tmp_path, fit_audio):
    fitted(tmp_path, fit_audio)
    with pytest.raises(ValueError, match="fitted for feature type 'toy', not 'fbank_km500'"):
        load_tokenizer("fbank_km500", state_dir=tmp_path).spec  # noqa: B018


def test_centroids_of_other_settings_are_refused(tmp_path, fit_audio):
    fitted(tmp_path, fit_audio)
    changed = {**SETTINGS, "frame_shift_sec": 0.01}
    with pytest.raises(ValueError, match=r"other settings .*frame_shift_sec: 0.02 against 0.01.*rerun stage 2"):
        mfcc_kmeans(tmp_path, changed).spec  # noqa: B018
    assert mfcc_kmeans(tmp_path, {**SETTINGS, "num_passes": 9}).spec


@pytest.mark.parametrize("name", ["num_clusters", "fit_memory_mib", "num_restarts", "num_passes"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        kmeans.KmeansConfig(**{name: 0})
