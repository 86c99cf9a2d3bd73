"""Residual k-means: a first codebook on the frames, each further one on what those before it leave of them.

Dimensions can be parted into groups with codebooks of their own: with one codebook a group it is product quantization
(Jegou et al. 2011, https://doi.org/10.1109/TPAMI.2010.57, section II.B), with several the group-residual scheme of
HiFi-Codec (https://arxiv.org/abs/2305.02765, section 3.2).
"""

import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from icefall_discrete.base.clustering import BATCH_FRAMES
from icefall_discrete.base.clustering import nearest as nearest_of_sample
from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import as_text, read_tensors, write_tensors
from icefall_discrete.tokenizers.quantizers import QuantizerOfFile
from icefall_discrete.tokenizers.quantizers.kmeans import (
    FIT_SETTINGS,
    REFIT,
    CentroidGraph,
    Centroids,
    ClusteringConfig,
    check_origin,
    checked_centroids,
    codes_in,
    facts_of,
    find_centroids,
    standardize,
    standardized,
    take_sample,
)

METADATA_KEY = "residual_kmeans"
SPACE = ("mean", "scale")


@dataclasses.dataclass(frozen=True)
class ResidualKmeansConfig(ClusteringConfig):
    """Several k-means, one behind the other, of `num_clusters` each."""

    num_codebooks: int = setting(2, "Number of codebooks, each on what those before it leave.", minimum=1, maximum=64)
    num_groups: int = setting(
        1, "Equal parts of a frame's dimensions, each with num_codebooks of its own.", minimum=1, maximum=64
    )

    @property
    def num_streams(self) -> int:
        """Codes a frame."""
        return self.num_groups * self.num_codebooks


class ResidualKmeans(QuantizerOfFile[List[Centroids]]):
    """K codes a frame: the nearest of V centroids, the nearest to the rest, and so on; of each group of dimensions."""

    Config = ResidualKmeansConfig
    libraries = ("scikit-learn",)
    fit_settings = FIT_SETTINGS
    file_name = "residual_kmeans.safetensors"

    @property
    def codebook_sizes(self) -> Tuple[int, ...]:
        """`num_groups` x `num_codebooks` times num_clusters, those of a group beside each other."""
        return (self.config.num_clusters,) * self.config.num_streams

    @property
    def provenance(self) -> Dict[str, Any]:
        """The hash of the file of all codebooks. RuntimeError if not fitted."""
        return {"kmeans_sha256": self._state()[0].sha256}

    def codebooks(self) -> List[Tensor]:
        """K tensors (V, D / G) in the (standardised, if so set) space they were found in.

        The sum of a group's is near that part of the frame.
        """
        return [state.centroids.cpu() for state in self._state()]

    def quantize(self, frames: Tensor) -> Tensor:
        """See Quantizer; of equally near centroids the first one counts."""
        states = self._state()
        whole = standardized(states[0], frames, f"the centroids of {self.state_path}", self.name)
        return torch.cat(codes_in(whole, [state.centroids for state in states], self.config.num_groups), dim=1)

    def graph(self) -> nn.Module:
        """See Quantizer."""
        return CentroidGraph(self._state(), self.config.num_groups)

    def fit(self, frames: Iterable[Tensor], state_dir: Path, seed: int) -> None:
        """Cluster a uniform sample of `frames`, then what is left of it; write residual_kmeans.safetensors.

        Memory is bounded by `fit_memory_mib`, since what is left takes the place of the sample.
        Raises ValueError if there are fewer frames, or fewer different ones, than clusters.
        """
        sample = take_sample(self.name, self.config, frames, seed)
        mean, scale = standardize(sample.frames, self.config.standardize)
        tensors = {"mean": torch.from_numpy(mean), "scale": torch.from_numpy(scale)}
        distortions: List[float] = []
        for part in np.split(sample.frames, self._require_parts(sample.frames.shape[1]), axis=1):
            rest = np.ascontiguousarray(part)  # itself, where there is one group only
            for _ in range(self.config.num_codebooks):
                index = len(distortions)
                centroids, score = find_centroids(rest, self.config, seed + index, self.device)
                _leave_the_rest(rest, centroids)
                tensors[f"centroids.{index}"] = torch.from_numpy(centroids)
                distortions.append(score)
                logging.info("%s: codebook %d, distortion %.5g", self.name, index + 1, score)
        facts = facts_of(sample, self.config, seed, self.device)
        made = {"feature_type": self.name, "front_end": self.front_end(), **facts}
        self.state_dir = Path(state_dir)
        self._fitted = None
        write_tensors(self.state_path, tensors, {METADATA_KEY: as_text({**made, "distortions": distortions})})

    def _require_parts(self, dim: int) -> int:
        """The number of groups. Raises ValueError if `dim` dimensions have not so many equal parts."""
        if dim % self.config.num_groups:
            raise ValueError(
                f"num_groups is {self.config.num_groups}, but the frames of '{self.name}' have {dim} dimensions, which "
                "are not so many equal parts; give a number that divides them."
            )
        return self.config.num_groups

    def _read_state(self) -> List[Centroids]:
        path, (size, *_) = self.state_path, self.codebook_sizes
        found = read_tensors(path, REFIT)
        check_origin(path, found.made.get(METADATA_KEY, {}), self.name, self.front_end())
        names = [f"centroids.{index}" for index in range(self.config.num_streams)]
        missing = [name for name in (*SPACE, *names) if name not in found.tensors]
        if missing:
            raise ValueError(f"{path} has no '{missing[0]}'; {REFIT}.")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        space = {name: found.tensors[name].numpy() for name in SPACE}
        return [
            checked_centroids(
                {"centroids": found.tensors[name].numpy(), **space},
                *(f"{path} holds as '{name}'", size, f"{REFIT}.", sha256, self.device, self.config.num_groups),
            )
            for name in names
        ]


def _leave_the_rest(frames: np.ndarray, centroids: np.ndarray) -> None:
    """Take the nearest of the centroids (V, D) from each of the frames (M, D), in place."""
    for start in range(0, len(frames), BATCH_FRAMES):
        chunk = frames[start : start + BATCH_FRAMES]
        chunk -= centroids[nearest_of_sample(chunk, centroids)[0]]
