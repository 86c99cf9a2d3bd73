"""The units that an iteration predicts: k-means of its teacher's frames, on disk, one number a frame."""

import logging
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
from tqdm import tqdm

from icefall_discrete.base.atomic_files import replacing
from icefall_discrete.base.clustering import FrameSample, fit_centroids, nearest
from icefall_discrete.base.inert_pickle import reason_of
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig

LOG = logging.getLogger(__name__)
Frames = Callable[[], Iterator[np.ndarray]]


def column_scale(frames: np.ndarray, standardize: bool) -> np.ndarray:
    """1 / standard deviation of each column of (M, D), or ones; (D,) float32."""
    if not standardize:
        return np.ones(frames.shape[1], np.float32)
    return (1.0 / np.maximum(frames.std(axis=0, dtype=np.float64), 1e-8)).astype(np.float32)


def write_units(
    path: Path, teacher: Frames, num_frames: int, num_clusters: int, standardize: bool, config: KmeansConfig, seed: int
) -> np.ndarray:
    """Cluster the frames of a teacher and write the unit of each; returns them, (num_frames,) int32 on disk.

    Memory is bounded by `config.fit_memory_mib`; the frames are made twice, for the clusters and for the units.

    Args:
      path: the file, .npy. teacher: gives the frames (T, D) of all utterances, the same every time.
      standardize: whether columns are scaled to variance 1. config: how k-means is fitted.
    Raises:
      ValueError: if there are fewer frames than clusters.
    """
    sample = None
    for frames in teacher():
        if sample is None:
            capacity = min(num_frames, config.fit_memory_mib * 2**20 // (4 * frames.shape[1]))
            sample = FrameSample(capacity, frames.shape[1], seed)
        sample.add(frames)
    if sample is None or len(sample.frames) < num_clusters:
        raise ValueError(
            f"{num_frames} frames, but {num_clusters} clusters need at least as many; fit on more audio, or set fewer "
            "teacher_clusters or more fit_memory_mib."
        )
    scale = column_scale(sample.frames, standardize)
    scaled = sample.frames
    scaled *= scale  # in place: the sample is all the memory there is
    passes = (config.num_restarts, config.num_passes, config.num_full_passes, config.num_breaths)
    centroids, score = fit_centroids(scaled, num_clusters, *passes, seed)
    LOG.info(f"{num_clusters} clusters of {len(scaled)} of {num_frames} frames, distortion {score:.5g}")
    # Not a memory map, since a full disk ends a process that writes to one.
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        header = {"descr": "<i4", "fortran_order": False, "shape": (num_frames,)}
        np.lib.format.write_array_header_1_0(stream, header)
        for frames in tqdm(teacher(), desc=f"units of {path.stem}", unit="cut", leave=False):
            stream.write(nearest(frames * scale, centroids)[0].astype("<i4").tobytes())
    return read_units(path)


def read_units(path: Path) -> np.ndarray:
    """The units that `write_units` wrote, (num_frames,) int32, left on the disk. Raises ValueError for another file."""
    try:
        units = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(units, np.ndarray) and units.dtype == np.int32 and units.ndim == 1:
            return units
        reason = "it holds something else than units"
    except (EOFError, ValueError) as error:
        reason = reason_of(error)
    raise ValueError(f"{path} cannot be read ({reason}); move the folder of the training aside and fit again.")
