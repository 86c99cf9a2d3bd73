"""From frames to the segments that a generator reads: clusters and PCA, means of runs, means of neighbours.

Baevski et al. 2021, https://arxiv.org/abs/2105.11084, section 3.2; a symbol lasts about as long as two segments, and
what matters is their rate: above some 20 Hz nothing is learnt (Liu et al. 2022, https://arxiv.org/abs/2204.02492).
"""

from pathlib import Path
from typing import Iterable, NamedTuple, Optional

import numpy as np
import torch

from icefall_discrete.base.clustering import FrameSample, fit_centroids, nearest
from icefall_discrete.base.tensor_files import as_text, read_tensors, write_tensors
from icefall_discrete.systems.wav2vec_u.config import FRAMES, POOLINGS, RUNS_AND_PAIRS, PoolingConfig

FILE = "pooling.safetensors"
_MADE = "made"
_AGAIN = "move the folder aside and run the stage again"
_PASSES = (1, 3, 15, 2)  # restarts, mini-batch passes, full passes, breaths: those of tokenizers


def run_means(frames: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Means (R, D) of the frames (T, D) of each run of equal `ids` (T,)."""
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(ids)]]))
    return np.add.reduceat(frames, starts, axis=0) / lengths[:, None]


def pair_means(frames: np.ndarray) -> np.ndarray:
    """Means of the first two rows, the next two, ...; the last of an odd number stays as it is."""
    starts = np.arange(0, len(frames), 2)
    lengths = np.minimum(2, len(frames) - starts)
    return np.add.reduceat(frames, starts, axis=0) / lengths[:, None]


class Pooling(NamedTuple):
    """centroids (C, D); mean (D,) and basis (D, P) of the PCA. All None where frames stay as they are."""

    kind: str
    centroids: Optional[np.ndarray]
    mean: Optional[np.ndarray]
    basis: Optional[np.ndarray]

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Segments (T', P) float32 of the frames (T, D) of an utterance."""
        if self.kind == FRAMES or self.centroids is None:
            return frames.astype(np.float32)
        ids, _ = nearest(frames, self.centroids)
        small = frames if self.basis is None else (frames - self.mean) @ self.basis
        segments = run_means(small, ids)
        return (pair_means(segments) if self.kind == RUNS_AND_PAIRS else segments).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `pooling.safetensors`."""
        named = {"centroids": self.centroids, "mean": self.mean, "basis": self.basis}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in named.items() if one is not None}
        write_tensors(folder / FILE, tensors or {"nothing": torch.zeros(0)}, {_MADE: as_text({"pooling": self.kind})})

    @classmethod
    def load(cls, folder: Path) -> "Pooling":
        """Read it. Raises FileNotFoundError, or ValueError if it is something else."""
        found = read_tensors(folder / FILE, _AGAIN)
        arrays = {name: tensor.numpy() for name, tensor in found.tensors.items()}
        kind = found.made.get(_MADE, {}).get("pooling")
        if kind not in POOLINGS or (kind != FRAMES and "centroids" not in arrays):
            raise ValueError(f"{folder / FILE} does not say how frames become segments; {_AGAIN}.")
        return cls(kind, arrays.get("centroids"), arrays.get("mean"), arrays.get("basis"))


def fit_pooling(utterances: Iterable[np.ndarray], config: PoolingConfig, seed: int) -> Pooling:
    """Clusters and PCA of the frames (T, D) of utterances.

    Raises:
      ValueError: if there are fewer frames than clusters or dimensions, or none.
    """
    if config.pooling == FRAMES:
        return Pooling(FRAMES, None, None, None)
    sample: Optional[FrameSample] = None
    for frames in utterances:
        if sample is None:
            sample = FrameSample(config.fit_frames, frames.shape[1], seed % 2**32)
        sample.add(frames)
    needed = max(config.clusters, config.pca_dim)
    if sample is None or len(sample.frames) < needed:
        have = 0 if sample is None else len(sample.frames)
        raise ValueError(
            f"there are {have} frames of speech, and {config.clusters} clusters and {config.pca_dim} dimensions need "
            f"at least {needed}; give more speech, or lower --clusters and --pca-dim."
        )
    frames = sample.frames
    centroids, _ = fit_centroids(frames, config.clusters, *_PASSES, seed=seed % 2**32)
    if not config.pca_dim or config.pca_dim >= frames.shape[1]:
        return Pooling(config.pooling, centroids, None, None)
    mean = frames.mean(axis=0, dtype=np.float64)
    covariance = np.cov(frames, rowvar=False)
    _, vectors = np.linalg.eigh(covariance)  # by rising variance
    basis = vectors[:, ::-1][:, : config.pca_dim].astype(np.float32)
    return Pooling(config.pooling, centroids, mean.astype(np.float32), np.ascontiguousarray(basis))
