"""k-means finds clusters that are there, samples uniformly, stays within its memory, and repeats itself."""

import numpy as np
import pytest

from icefall_discrete.tokenizers.clustering import FrameSample, distortion, fit_centroids, full_pass, nearest


def blobs(num_clusters, frames_each, dim, seed, spread=0.05):
    """Frames around random centres, in random order: (frames, centres)."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(num_clusters, dim)).astype(np.float32)
    frames = np.repeat(centres, frames_each, axis=0)
    frames = frames + spread * generator.normal(size=frames.shape)
    return generator.permutation(frames).astype(np.float32), centres


def test_recovers_separated_clusters():
    frames, centres = blobs(20, 100, 8, seed=0)
    centroids, score = fit_centroids(frames, 20, 3, 2, 15, seed=0)
    ids, _ = nearest(centres, centroids)
    assert sorted(ids) == list(range(20))
    assert np.abs(centroids[ids] - centres).max() < 0.03
    assert score == pytest.approx(8 * 0.05**2, rel=0.1)
    assert score == pytest.approx(distortion(frames, centroids))


def test_same_seed_same_centroids():
    frames, _ = blobs(30, 40, 5, seed=1, spread=1.0)
    first, _ = fit_centroids(frames, 16, 2, 2, 5, seed=7)
    again, _ = fit_centroids(frames, 16, 2, 2, 5, seed=7)
    other, _ = fit_centroids(frames, 16, 2, 2, 5, seed=70)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_restarts_never_hurt():
    frames, _ = blobs(30, 40, 5, seed=2, spread=0.3)
    scores = [fit_centroids(frames, 30, restarts, 1, 3, seed=5)[1] for restarts in (1, 2, 4)]
    assert scores == sorted(scores, reverse=True)


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
