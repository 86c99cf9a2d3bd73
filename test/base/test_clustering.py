"""k-means finds clusters that are there, samples uniformly, stays within its memory, and repeats itself."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from icefall_discrete.base import clustering, device_clustering
from icefall_discrete.base.clustering import (
    FrameSample,
    distortion,
    errors_and_utilities,
    fit_centroids,
    full_pass,
    nearest,
)
from icefall_discrete.base.device_clustering import DevicePasses

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def blobs(num_clusters, frames_each, dim, seed, spread=0.05):
    """Frames around random centres, in random order: (frames, centres)."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(num_clusters, dim)).astype(np.float32)
    frames = np.repeat(centres, frames_each, axis=0)
    frames = frames + spread * generator.normal(size=frames.shape)
    return generator.permutation(frames).astype(np.float32), centres


def test_recovers_separated_clusters():
    frames, centres = blobs(20, 100, 8, seed=0)
    centroids, score = fit_centroids(frames, 20, 3, 2, 15, 0, seed=0)
    ids, _ = nearest(centres, centroids)
    assert sorted(ids) == list(range(20))
    assert np.abs(centroids[ids] - centres).max() < 0.03
    assert score == pytest.approx(8 * 0.05**2, rel=0.1)
    assert score == pytest.approx(distortion(frames, centroids))


def test_same_seed_same_centroids():
    frames, _ = blobs(30, 40, 5, seed=1, spread=1.0)
    first, _ = fit_centroids(frames, 16, 2, 2, 5, 1, seed=7)
    again, _ = fit_centroids(frames, 16, 2, 2, 5, 1, seed=7)
    other, _ = fit_centroids(frames, 16, 2, 2, 5, 1, seed=70)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_restarts_never_hurt():
    frames, _ = blobs(30, 40, 5, seed=2, spread=0.3)
    scores = [fit_centroids(frames, 30, restarts, 1, 3, 0, seed=5)[1] for restarts in (1, 2, 4)]
    assert scores == sorted(scores, reverse=True)


def mixture(num_gaussians, num_frames, dim, seed):
    """Frames of Gaussians that overlap and of which some are rare."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.full(num_gaussians, 0.5))
    centres = generator.normal(0.0, 3.0, (num_gaussians, dim))
    frames = centres[generator.choice(num_gaussians, num_frames, p=shares)]
    return (frames + generator.normal(size=frames.shape)).astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_breathing_leaves_the_optimum_that_full_passes_end_in(seed):
    frames = mixture(150, 9000, 12, seed)
    without, with_breaths = (fit_centroids(frames, 80, 1, 3, 15, breaths, seed=seed)[1] for breaths in (0, 2))
    reference = KMeans(80, n_init=1, random_state=seed).fit(frames).inertia_ / len(frames)
    assert with_breaths < without
    assert with_breaths < 1.01 * reference


def test_errors_and_utilities_of_centroids():
    frames, centres = blobs(5, 40, 3, seed=4, spread=0.6)
    errors, utilities = errors_and_utilities(frames, centres)
    nearest_ids, _ = nearest(frames, centres)
    for cluster in range(5):
        own = ((frames[nearest_ids == cluster] - centres[cluster]) ** 2).sum()
        assert errors[cluster] == pytest.approx(own, rel=1e-4)
        without = distortion(frames, np.delete(centres, cluster, axis=0)) - distortion(frames, centres)
        assert utilities[cluster] == pytest.approx(without * len(frames), rel=1e-3)


def test_breathing_keeps_the_number_of_clusters_and_fits_few_frames():
    frames, _ = blobs(4, 3, 2, seed=5)
    for num_clusters in (1, 2, 3, 12):
        centroids, _ = fit_centroids(frames, num_clusters, 1, 1, 3, 2, seed=0)
        assert centroids.shape == (num_clusters, 2) and centroids.dtype == np.float32 and np.isfinite(centroids).all()


def test_full_pass_is_one_lloyd_iteration():
    frames, _ = blobs(6, 50, 3, seed=3, spread=0.5)
    start = np.concatenate([frames[:5], np.full((1, 3), 1e3, np.float32)])
    centroids, counts, score = full_pass(frames, start)
    squared = ((frames[:, None] - start[None]) ** 2).sum(axis=2)
    ids = squared.argmin(axis=1)
    assert np.array_equal(counts, np.bincount(ids, minlength=6))
    assert score == pytest.approx(squared.min(axis=1).mean(), rel=1e-4)
    for cluster in range(5):
        np.testing.assert_allclose(centroids[cluster], frames[ids == cluster].mean(axis=0), rtol=1e-4, atol=1e-5)
    assert np.array_equal(centroids[5], start[5]), "an unused centroid stays"


def test_sample_is_bounded_and_uniform():
    hits = np.zeros(1000)
    for seed in range(200):
        sample = FrameSample(50, 1, seed)
        for start in range(0, 1000, 37):
            sample.add(np.arange(start, min(start + 37, 1000), dtype=np.float32)[:, None])
        assert sample.frames.shape == (50, 1) and sample.num_seen == 1000
        hits[sample.frames[:, 0].astype(int)] += 1
    # Each frame is in a sample with probability 50 / 1000, whenever it came: 10 +- 3.1 of 200.
    for part in np.split(hits, 10):
        assert part.mean() == pytest.approx(10, abs=1.2)


def test_sample_of_a_short_stream_is_the_stream():
    frames = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    sample = FrameSample(50, 4, seed=0)
    sample.add(frames[:13])
    sample.add(frames[13:])
    assert np.array_equal(sample.frames, frames)


def test_too_few_different_frames_are_named():
    silence = np.zeros((1200, 80), np.float32)
    silence[:3, 0] = (1.0, 2.0, 3.0)
    with pytest.raises(ValueError, match=r"1200 frames, but only 4 different ones, and 500 clusters need at least"):
        fit_centroids(silence, 500, 1, 1, 1, 1, 0)


def device_passes(frames, device="cpu"):
    return DevicePasses(frames, torch.device(device))


def test_passes_of_a_device_are_those_of_the_processor(monkeypatch):
    monkeypatch.setattr(device_clustering, "CHUNK_SCORES", 700)  # many chunks, the last one smaller
    frames = mixture(20, 1200, 6, seed=0)
    centroids = np.concatenate([frames[:9], np.full((1, 6), 1e3, np.float32)])  # the last one is nobody's
    passes = device_passes(frames)
    for found, expected in zip(passes.full_pass(centroids), full_pass(frames, centroids)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for found, expected in zip(passes.errors_and_utilities(centroids), errors_and_utilities(frames, centroids)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_a_fit_on_a_device_is_as_good_and_repeats_itself(monkeypatch, device):
    frames = mixture(60, 6000, 8, seed=1)
    by_processor, score = fit_centroids(frames, 40, 1, 2, 10, 1, seed=3)
    monkeypatch.setattr(clustering, "passes_over", lambda frames, _: device_passes(frames, device))
    (found, there), (again, _) = (fit_centroids(frames, 40, 1, 2, 10, 1, seed=3) for _ in range(2))
    assert found.shape == by_processor.shape and found.dtype == np.float32
    assert np.array_equal(found, again)
    assert there == pytest.approx(distortion(frames, found), rel=1e-4)
    assert there < 1.02 * score


def test_the_start_on_a_device_takes_each_of_few_frames_once():
    frames = np.eye(12, dtype=np.float32)
    found = device_passes(frames).begin(12, 12, 0, 5, lambda: None)
    assert sorted(map(tuple, found)) == sorted(map(tuple, frames))


def test_the_means_of_mini_batches_are_those_of_all_frames_that_were_nearest():
    frames, centres = blobs(6, 30, 4, seed=2)
    passes = device_passes(frames)
    means, counts = torch.from_numpy(centres).double(), torch.zeros(6, dtype=torch.float64)
    for rows in torch.arange(len(frames)).split(50):
        passes._move(means, counts, torch.from_numpy(frames)[rows])
    expected, sizes, _ = full_pass(frames, centres)
    np.testing.assert_allclose(means.float(), expected, atol=1e-5)
    assert counts.tolist() == sizes.tolist()


def test_the_start_on_a_device_minds_no_mean_far_from_zero():
    generator = np.random.default_rng(0)
    frames = generator.normal(size=(3000, 16)).astype(np.float32)
    near, far = (
        distortion(frames, device_passes(frames + offset).begin(40, 800, 0, 3, lambda: None) - offset)
        for offset in (np.float32(0), np.float32(1000))
    )
    assert far == pytest.approx(near, rel=0.02)
