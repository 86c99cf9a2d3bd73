"""k-means in bounded memory: a uniform sample of a stream of frames, then mini-batch and full passes over the sample.

Full passes end in a local optimum, where some clusters should be two and others one. Breathing repairs that: Fritzke
2020, "The breathing k-means algorithm", https://arxiv.org/abs/2006.15666.

A mini-batch that follows the stream sees one speaker or one prompt at a time; a uniform sample does not, needs one
pass over the audio whatever its length, and its size is the bound on memory. Letters: M frames, D dimensions, V
clusters.
"""

from typing import Callable, List, Optional, Set, Tuple, Union

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus
from tqdm import tqdm

from icefall_discrete.base.device_clustering import BATCH_FRAMES, DevicePasses

# k-means++ looks at this many frames a cluster: more costs time and changes the result of the later passes little.
INIT_FRAMES_PER_CLUSTER = 20
# Full passes stop when one lowers the distortion by less than this fraction.
MIN_IMPROVEMENT = 5e-4
# A breath adds this share of the clusters, then removes as many; after each the centroids move by so many full passes.
BREATH_SHARE = 0.1
BREATH_PASSES = 3
# How far a new centroid lies from the one it is to relieve, in standard deviations of the frames.
BREATH_OFFSET = 0.1
# Of a removed centroid, so many neighbours stay in the same breath: they take over its frames.
FROZEN_NEIGHBOURS = 2


class FrameSample:
    """A uniform random sample of all frames offered so far, of at most `capacity` frames (reservoir sampling).

    Vitter 1985, "Random sampling with a reservoir", algorithm R. The result depends on the seed and on the order.
    """

    def __init__(self, capacity: int, dim: int, seed: int) -> None:
        """Reserve `capacity` frames of `dim` float32 values."""
        self._frames = np.empty((capacity, dim), dtype=np.float32)
        self._generator = np.random.default_rng(seed)
        self.num_seen = 0

    def add(self, frames: np.ndarray) -> None:
        """Offer frames (T, D)."""
        capacity = len(self._frames)
        room = min(max(capacity - self.num_seen, 0), len(frames))
        self._frames[self.num_seen : self.num_seen + room] = frames[:room]
        late = frames[room:]
        positions = self.num_seen + room + np.arange(len(late))
        slots = (self._generator.random(len(late)) * (positions + 1)).astype(np.int64)
        for slot, frame in zip(slots[slots < capacity], late[slots < capacity]):
            self._frames[slot] = frame
        self.num_seen += len(frames)

    @property
    def frames(self) -> np.ndarray:
        """The sample (min(num_seen, capacity), D), not a copy."""
        return self._frames[: self.num_seen]


def nearest(frames: np.ndarray, centroids: np.ndarray) -> Tuple[np.ndarray, float]:
    """Return the nearest centroid (M,) of each frame (M, D) and the sum of squared distances."""
    scores = 0.5 * np.einsum("vd,vd->v", centroids, centroids) - frames @ centroids.T
    ids = scores.argmin(axis=1)
    best = scores[np.arange(len(ids)), ids]
    squared = 2.0 * best + np.einsum("md,md->m", frames, frames)
    return ids, float(np.maximum(squared, 0.0).sum(dtype=np.float64))


def full_pass(frames: np.ndarray, centroids: np.ndarray) -> Tuple[np.ndarray, np.ndarray, float]:
    """One Lloyd iteration in chunks.

    Returns:
      the new centroids (V, D), where an unused one stays where it was; the number of frames of each (V,); the mean
      squared distance of a frame to its *old* centroid.
    """
    num_clusters = len(centroids)
    sums = np.zeros(centroids.shape, dtype=np.float64)
    counts = np.zeros(num_clusters, dtype=np.int64)
    total = 0.0
    for start in range(0, len(frames), BATCH_FRAMES):
        chunk = frames[start : start + BATCH_FRAMES]
        ids, distance = nearest(chunk, centroids)
        members = csr_matrix((np.ones(len(ids), np.float32), (ids, np.arange(len(ids)))), (num_clusters, len(ids)))
        sums += members @ chunk
        counts += np.bincount(ids, minlength=num_clusters)
        total += distance
    means = sums / np.maximum(counts, 1)[:, None]
    moved = np.where(counts[:, None] > 0, means, centroids).astype(np.float32)
    return moved, counts, total / len(frames)


def distortion(frames: np.ndarray, centroids: np.ndarray) -> float:
    """Mean squared distance of a frame (M, D) to its nearest centroid (V, D)."""
    chunks = range(0, len(frames), BATCH_FRAMES)
    return sum(nearest(frames[start : start + BATCH_FRAMES], centroids)[1] for start in chunks) / len(frames)


def errors_and_utilities(frames: np.ndarray, centroids: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """For each centroid (V,): the sum of squared distances of its frames, and what it would grow by without it."""
    num_clusters = len(centroids)
    errors, utilities = np.zeros(num_clusters), np.zeros(num_clusters)
    offsets = 0.5 * np.einsum("vd,vd->v", centroids, centroids)
    for start in range(0, len(frames), BATCH_FRAMES):
        chunk = frames[start : start + BATCH_FRAMES]
        scores = offsets - chunk @ centroids.T
        rows, first = np.arange(len(chunk)), scores.argmin(axis=1)
        best = scores[rows, first]
        scores[rows, first] = np.inf
        squared = 2.0 * best + np.einsum("md,md->m", chunk, chunk)
        errors += np.bincount(first, np.maximum(squared, 0.0), num_clusters)
        utilities += np.bincount(first, 2.0 * (scores.min(axis=1) - best), num_clusters)
    return errors, utilities


class HostPasses:
    """Passes over frames (M, D) by the processor; see DevicePasses, which has the same methods."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def begin(
        self, num_clusters: int, num_frames: int, num_passes: int, seed: int, done: Callable[[], object]
    ) -> np.ndarray:
        """Centroids (V, D) by k-means++ on `num_frames` frames drawn at random, then by passes of mini-batches."""
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.choice(len(self._frames), num_frames, replace=False))
        centroids, _ = kmeans_plusplus(self._frames[chosen], num_clusters, random_state=seed)
        done()
        model = MiniBatchKMeans(num_clusters, init=centroids, n_init=1, batch_size=BATCH_FRAMES, random_state=seed)
        for _ in range(num_passes):
            order = generator.permutation(len(self._frames))
            for start in range(0, len(order), BATCH_FRAMES):
                model.partial_fit(self._frames[order[start : start + BATCH_FRAMES]])
            done()
        return model.cluster_centers_.astype(np.float32) if num_passes else centroids

    def full_pass(self, centroids: np.ndarray) -> Tuple[np.ndarray, np.ndarray, float]:
        """See the function."""
        return full_pass(self._frames, centroids)

    def errors_and_utilities(self, centroids: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """See the function."""
        return errors_and_utilities(self._frames, centroids)


Passes = Union[HostPasses, DevicePasses]


def passes_over(frames: np.ndarray, device: Optional[torch.device]) -> Passes:
    """The passes over frames (M, D) by `device`; by the processor without one."""
    return HostPasses(frames) if device is None or device.type == "cpu" else DevicePasses(frames, device)


def _least_useful(utilities: np.ndarray, centroids: np.ndarray, number: int) -> List[int]:
    """Centroids to remove, by rising utility; neighbours of a removed one stay while there are others to choose."""
    squares = np.einsum("vd,vd->v", centroids, centroids)
    chosen: List[int] = []
    frozen: Set[int] = set()
    for index in np.argsort(utilities, kind="stable").tolist():
        if len(chosen) == number:
            break
        if index in frozen and len(frozen) + number < len(centroids):
            continue
        chosen.append(index)
        distances = squares - 2.0 * (centroids @ centroids[index])
        frozen.update(np.argsort(distances, kind="stable")[1 : 1 + FROZEN_NEIGHBOURS].tolist())
    return chosen


def _breathe(
    passes: Passes, frames: np.ndarray, centroids: np.ndarray, num_breaths: int, seed: int, bar: tqdm
) -> Tuple[np.ndarray, float]:
    """Add centroids where the error is large and remove the least useful ones, while that lowers the distortion.

    Returns the centroids and their distortion.
    """
    generator = np.random.default_rng(seed)
    spread = BREATH_OFFSET * frames.std(axis=0)
    number = max(1, round(BREATH_SHARE * len(centroids)))
    errors, _ = passes.errors_and_utilities(centroids)
    for _ in range(num_breaths):
        worst = np.argsort(-errors, kind="stable")[:number]
        offsets = generator.standard_normal((len(worst), frames.shape[1]), dtype=np.float32) * spread
        moved = np.concatenate([centroids, centroids[worst] + offsets])
        for _ in range(BREATH_PASSES):
            moved, _, _ = passes.full_pass(moved)
        _, utilities = passes.errors_and_utilities(moved)
        moved = np.delete(moved, _least_useful(utilities, moved, len(worst)), axis=0)
        for _ in range(BREATH_PASSES):
            moved, _, _ = passes.full_pass(moved)
        moved_errors, _ = passes.errors_and_utilities(moved)
        bar.update()
        if moved_errors.sum() < errors.sum():
            centroids, errors = moved, moved_errors
            bar.set_postfix(distortion=f"{errors.sum() / len(frames):.5g}")
        else:
            number = max(1, number // 2)
    return centroids, float(errors.sum()) / len(frames)


def _fit_once(
    passes: Passes, num_clusters: int, num_frames: int, num_passes: int, num_full_passes: int, seed: int, bar: tqdm
) -> np.ndarray:
    centroids = passes.begin(num_clusters, num_frames, num_passes, seed, bar.update)
    previous: Optional[float] = None
    for step in range(num_full_passes):
        centroids, _, current = passes.full_pass(centroids)
        bar.update()
        bar.set_postfix(distortion=f"{current:.5g}")
        if previous is not None and previous - current < MIN_IMPROVEMENT * previous:
            bar.update(num_full_passes - step - 1)
            break
        previous = current
    return centroids


def require_distinct(frames: np.ndarray, num_clusters: int) -> None:
    """Raise ValueError unless there are as many different frames among (M, D) as clusters."""
    seen: Set[bytes] = set()
    for frame in frames:  # mostly over after the first few
        seen.add(frame.tobytes())
        if len(seen) >= num_clusters:
            return
    raise ValueError(
        f"{len(frames)} frames, but only {len(seen)} different ones, and {num_clusters} clusters need at least as "
        "many; is the audio silent? Fit on other audio, or set fewer clusters."
    )


def fit_centroids(
    frames: np.ndarray,
    num_clusters: int,
    num_restarts: int,
    num_passes: int,
    num_full_passes: int,
    num_breaths: int,
    seed: int,
    device: Optional[torch.device] = None,
) -> Tuple[np.ndarray, float]:
    """Cluster frames by k-means: k-means++, `num_passes` mini-batch passes, then up to `num_full_passes` Lloyd ones.

    Args:
      frames: (M, D) float32, M >= num_clusters.
      num_breaths: repairs of the optimum that was found, of seven to eight passes each.
      num_restarts: attempts with other seeds; the one with the lowest distortion is kept.
      seed: the result is a function of it, of the frames, of the number of threads and of the kind of device.
      device: holds the frames and computes, if it is no processor.
    Returns:
      centroids (V, D) float32 and the distortion: mean squared distance of a frame to its centroid.
    Raises:
      ValueError: if fewer frames differ from one another than there are clusters.
    """
    require_distinct(frames, num_clusters)
    passes = passes_over(frames, device)
    num_frames = min(len(frames), INIT_FRAMES_PER_CLUSTER * num_clusters)
    found: List[Tuple[np.ndarray, float]] = []
    steps = num_restarts * (1 + num_passes + num_full_passes + num_breaths)
    with tqdm(total=steps, desc=f"k-means, {num_clusters} clusters, {len(frames)} frames", unit="pass") as bar:
        for restart in range(num_restarts):
            centroids = _fit_once(passes, num_clusters, num_frames, num_passes, num_full_passes, seed + restart, bar)
            found.append(_breathe(passes, frames, centroids, num_breaths, seed + restart, bar))
    return min(found, key=lambda one: one[1])
