"""k-means on frames of any kind: fitting, the file that holds the centroids, and assignment."""

import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from icefall_discrete.base.clustering import FrameSample, fit_centroids
from icefall_discrete.base.provenance import against, differences
from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import as_text, read_tensors, write_tensors
from icefall_discrete.tokenizers.formats.kmeans_files import read_centroids
from icefall_discrete.tokenizers.formats.pretrained import locate_file
from icefall_discrete.tokenizers.quantizers import QuantizerOfFile

FILE_NAME = "kmeans.safetensors"
METADATA_KEY = "kmeans"
STATE = ("centroids", "mean", "scale")
REFIT = "move it aside and rerun stage 2"
# Below this many frames a cluster the centroids follow chance; a larger sample helps.
FRAMES_PER_CLUSTER = 100
FIT_SETTINGS = ("fit_memory_mib", "num_restarts", "num_passes", "num_full_passes", "num_breaths")


@dataclasses.dataclass(frozen=True)
class ClusteringConfig:
    """How frames are clustered."""

    num_clusters: int = setting(500, "Number of clusters, the codebook size V.", minimum=1)
    standardize: bool = setting(False, "Scale each dimension to mean 0 and variance 1 before clustering.")
    fit_memory_mib: int = setting(256, "Memory for the sample of training frames that is clustered, in MiB.")
    num_restarts: int = setting(1, "Attempts with other seeds; the best one is kept.")
    num_passes: int = setting(3, "Mini-batch passes over the sample.")
    num_full_passes: int = setting(15, "Most full (Lloyd) passes over the sample, after the mini-batch ones.")
    num_breaths: int = setting(2, "Times that clusters are added and removed after them, to leave a local optimum.")

    def __post_init__(self) -> None:
        """Raise ValueError for a count that cannot work."""
        for name in ("num_clusters", "fit_memory_mib", "num_restarts", "num_passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1.")


@dataclasses.dataclass(frozen=True)
class KmeansConfig(ClusteringConfig):
    """k-means on frames."""

    kmeans_path: str = setting(
        "", "Centroids made elsewhere, a file or ORG/NAME/FILE of the hub (see kmeans_files.py); none are fitted then."
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a count that cannot work, or a scale beside centroids that have one."""
        super().__post_init__()
        if self.kmeans_path and self.standardize:
            raise ValueError(f"standardize is set, but {self.kmeans_path} has a scale of its own; set it to false.")


@dataclasses.dataclass(frozen=True)
class Centroids:
    """Centroids (V, D) of (frame - mean) / scale, and the hash of the file, or of the tensors, that they are from."""

    centroids: Tensor
    mean: Tensor
    scale: Tensor
    sha256: str


class Sample(NamedTuple):
    """Frames (M, D) to be clustered, in memory of their own, of so many that were seen in so many utterances."""

    frames: np.ndarray
    num_seen: int
    num_utterances: int


class Clustered(NamedTuple):
    """What a fit found: the tensors of STATE, and how they were found, for the metadata of their file."""

    tensors: Dict[str, Tensor]
    facts: Dict[str, Any]


def require_finite(frames: Tensor, name: str) -> None:
    """Raise RuntimeError if frames of feature type `name` hold NaN or infinite numbers, to which no code is near."""
    if not bool(frames.isfinite().all()):
        raise RuntimeError(
            f"{name}: {int((~frames.isfinite()).sum())} of {frames.numel()} numbers of the frames are NaN or infinite "
            "for finite audio; fetch the model anew, or compute in float32."
        )


def take_sample(name: str, config: ClusteringConfig, frames: Iterable[Tensor], seed: int) -> Sample:
    """A uniform sample of `frames`, (T, D) for each utterance, that fits into `fit_memory_mib`; see `cluster`."""
    sample: Optional[FrameSample] = None
    num_utterances = 0
    for offered in frames:
        require_finite(offered, name)
        values = offered.cpu().numpy()
        if sample is None:
            capacity = config.fit_memory_mib * 2**20 // (4 * values.shape[1])
            sample = FrameSample(capacity, values.shape[1], seed)
        sample.add(values)
        num_utterances += 1
    num_clusters = config.num_clusters
    found = 0 if sample is None else len(sample.frames)
    if sample is None or found < num_clusters:
        raise ValueError(
            f"{name}: {num_utterances} utterances gave {found} frames, but {num_clusters} clusters need at "
            "least as many; fit on more audio, or set fewer num_clusters or more fit_memory_mib."
        )
    if found < FRAMES_PER_CLUSTER * num_clusters and sample.num_seen > found:
        logging.warning(
            "%s: the sample holds only %d frames for %d clusters; raise fit_memory_mib above %d",
            name, found, num_clusters, config.fit_memory_mib,
        )  # fmt: skip
    return Sample(sample.frames, sample.num_seen, num_utterances)


def find_centroids(
    frames: np.ndarray, config: ClusteringConfig, seed: int, device: Optional[torch.device] = None
) -> Tuple[np.ndarray, float]:
    """Centroids (V, D) of frames (M, D) by the settings, and the distortion; see `fit_centroids`."""
    return fit_centroids(
        frames,
        config.num_clusters,
        config.num_restarts,
        config.num_passes,
        config.num_full_passes,
        config.num_breaths,
        seed,
        device,
    )


def facts_of(
    sample: Sample, config: ClusteringConfig, seed: int, device: Optional[torch.device] = None
) -> Dict[str, Any]:
    """How a sample was clustered, for the metadata of the outcome; the device, if it was no processor."""
    return {
        "fit_settings": {key: getattr(config, key) for key in FIT_SETTINGS},
        "num_frames_seen": sample.num_seen,
        "num_frames_clustered": len(sample.frames),
        "num_utterances": sample.num_utterances,
        "seed": seed,
        **({} if device is None or device.type == "cpu" else {"device": device.type}),
    }


def cluster(
    name: str, config: ClusteringConfig, frames: Iterable[Tensor], seed: int, device: Optional[torch.device] = None
) -> Clustered:
    """Cluster a uniform sample of `frames`, (T, D) for each utterance; `name` is what messages call them.

    Memory is bounded by `fit_memory_mib` whatever the amount of frames, that of `device`, which clusters, too.
    Raises ValueError if there are fewer frames than clusters.
    """
    sample = take_sample(name, config, frames, seed)
    mean, scale = standardize(sample.frames, config.standardize)
    centroids, score = find_centroids(sample.frames, config, seed, device)
    logging.info(
        "%s: %d clusters of %d frames (of %d seen, %d utterances), distortion %.5g",
        name, config.num_clusters, len(sample.frames), sample.num_seen, sample.num_utterances, score,
    )  # fmt: skip
    facts = {**facts_of(sample, config, seed, device), "distortion": score}
    arrays = {"centroids": centroids, "mean": mean, "scale": scale}
    return Clustered({key: torch.from_numpy(array) for key, array in arrays.items()}, facts)


def standardized(state: Centroids, frames: Tensor, where: str, name: str) -> Tensor:
    """Frames (T, D) of feature type `name` in the space of the centroids.

    Raises ValueError, calling the centroids `where`, if frames have another dimension. RuntimeError for NaN.
    """
    if frames.shape[1] != len(state.mean):
        raise ValueError(
            f"{where} have {len(state.mean)} dimensions, but the frames of "
            f"'{name}' {frames.shape[1]}; they were made for another model."
        )
    require_finite(frames, name)
    return (frames - state.mean) / state.scale


def nearest_ids(centroids: Tensor, frames: Tensor) -> Tensor:
    """The nearest centroid (T, 1) of each of the frames (T, D); the first of equally near ones."""
    scores = 0.5 * centroids.square().sum(dim=1) - frames @ centroids.T
    return scores.argmin(dim=1, keepdim=True)


def nearest(state: Centroids, frames: Tensor, where: str, name: str) -> Tensor:
    """The nearest centroid (T, 1) of each of the frames (T, D); arguments and errors are those of `standardized`."""
    return nearest_ids(state.centroids, standardized(state, frames, where, name))


class CentroidGraph(nn.Module):
    """Frames (T, D) to codes (T, K): of each of the groups of dimensions the nearest centroids, one behind the other.

    Args:
      states: of a group, and of the groups; they share mean and scale. num_groups: equal parts of the dimensions.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, states: Sequence[Centroids], num_groups: int = 1) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.register_buffer("mean", states[0].mean, persistent=False)
        self.register_buffer("scale", states[0].scale, persistent=False)
        self.centroids = [state.centroids for state in states]

    def forward(self, frames: Tensor) -> Tensor:
        """Map (T, D) to (T, K)."""
        return torch.cat(codes_in((frames - self.mean) / self.scale, self.centroids, self.num_groups), dim=1)


def codes_in(frames: Tensor, centroids: Sequence[Tensor], num_groups: int) -> List[Tensor]:
    """The codes, (T, 1) each, of standardised frames (T, D): of each group of dimensions one behind the other."""
    num_codebooks = len(centroids) // num_groups
    codes: List[Tensor] = []
    for group, rest in enumerate(frames.chunk(num_groups, dim=1)):
        for one in centroids[group * num_codebooks :][:num_codebooks]:
            codes.append(nearest_ids(one, rest))
            rest = rest - one[codes[-1][:, 0]]
    return codes


def checked_centroids(
    arrays: Mapping[str, np.ndarray],
    holds: str,
    num_clusters: int,
    advice: str,
    sha256: str,
    device: torch.device,
    num_groups: int = 1,
) -> Centroids:
    """The centroids in the `arrays` of STATE, on `device`; they are of one of `num_groups` equal parts of a frame.

    holds, advice: how the sentence begins and ends which a ValueError says if they are not `num_clusters` finite ones,
    or do not go with their mean and scale.
    """
    centroids, mean, scale = (arrays[key] for key in STATE)
    ranks = (centroids.ndim, mean.ndim, scale.ndim) == (2, 1, 1)
    if not ranks or not centroids.shape[1] * num_groups == len(mean) == len(scale):
        raise ValueError(
            f"{holds} centroids {centroids.shape} with a mean {mean.shape} and a scale {scale.shape}, expected (V, D), "
            f"(D,) and (D,), D in {num_groups} equal parts; {advice}"
        )
    for key, array in arrays.items():
        if array.dtype != np.float32:
            raise ValueError(f"{holds} centroids whose {key} is of {array.dtype}, expected float32; {advice}")
    if not scale.all():
        raise ValueError(
            f"{holds} centroids whose scale is 0 in {(scale == 0).sum()} of {len(scale)} dimensions; {advice}"
        )
    if len(centroids) != num_clusters or not all(np.isfinite(a).all() for a in arrays.values()):
        raise ValueError(
            f"{holds} centroids {centroids.shape} with {np.isnan(centroids).sum()} NaN, expected "
            f"{num_clusters} finite ones; {advice}"
        )
    tensors = {key: torch.from_numpy(array.copy()).to(device) for key, array in arrays.items()}
    return Centroids(**tensors, sha256=sha256)


def check_origin(path: Path, made: Dict[str, Any], name: str, front_end: Dict[str, Any]) -> None:
    """Raise ValueError if a file of centroids, made as its metadata says, is of another feature type or settings."""
    made_for = made.get("feature_type", "an unknown feature type")
    if made_for != name:
        raise ValueError(
            f"{path} was fitted for feature type '{made_for}', not '{name}'; "
            "give the folder of this feature type, or move the file aside and rerun stage 2."
        )
    changed = differences(made.get("front_end", {}), front_end)
    if changed:
        raise ValueError(
            f"{path} was fitted with other settings than feature type '{name}' has now "
            f"({against(changed)}); restore the settings, or move the file aside and rerun stage 2."
        )


def standardize(frames: np.ndarray, wanted: bool) -> Tuple[np.ndarray, np.ndarray]:
    """Bring frames (M, D) to mean 0 and variance 1, in place, if it is `wanted`; the mean and the scale (D,)."""
    mean, scale = np.zeros(frames.shape[1], np.float32), np.ones(frames.shape[1], np.float32)
    if wanted:
        mean = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = np.maximum(frames.std(axis=0, dtype=np.float64), 1e-8).astype(np.float32)
        frames -= mean  # in place: the sample is all the memory there is
        frames /= scale
    return mean, scale


class Kmeans(QuantizerOfFile[Centroids]):
    """One code a frame, the nearest of V centroids."""

    Config = KmeansConfig
    file_name = FILE_NAME
    libraries = ("scikit-learn",)
    # Where the centroids lie is not what they are: their hash is in the provenance.
    fit_settings = (*FIT_SETTINGS, "kmeans_path")

    @property
    def needs_fit(self) -> bool:
        """Whether the centroids are not given by `kmeans_path`."""
        return not self.config.kmeans_path

    @property
    def state_path(self) -> Path:
        """Where the centroids are, or will be."""
        if self.config.kmeans_path:
            kept = None if self.state_dir is None else self.state_dir / Path(self.config.kmeans_path).name
            if kept is not None and kept.is_file():
                return kept
            return locate_file(self.config.kmeans_path, "k-means", "kmeans_path")
        return super().state_path

    @property
    def is_fitted(self) -> bool:
        """Whether the file of centroids exists, or is to be had by `kmeans_path`."""
        return not self.needs_fit or super().is_fitted

    @property
    def codebook_sizes(self) -> Tuple[int, ...]:
        """One codebook of num_clusters."""
        return (self.config.num_clusters,)

    @property
    def provenance(self) -> Dict[str, Any]:
        """The hash of the file of centroids. RuntimeError if not fitted."""
        return {"kmeans_sha256": self._state().sha256}

    def codebooks(self) -> List[Tensor]:
        """The centroids [(V, D)], in the (standardised, if so set) space they were found in."""
        return [self._state().centroids.cpu()]

    def quantize(self, frames: Tensor) -> Tensor:
        """See Quantizer; of equally near centroids the first one counts."""
        return nearest(self._state(), frames, f"the centroids of {self.state_path}", self.name)

    def graph(self) -> nn.Module:
        """See Quantizer."""
        return CentroidGraph([self._state()])

    def fit(self, frames: Iterable[Tensor], state_dir: Path, seed: int) -> None:
        """Cluster a uniform sample of `frames` and write kmeans.safetensors, whole or not at all.

        Memory is bounded by `fit_memory_mib` whatever the amount of frames.
        Raises ValueError if there are fewer frames than clusters.
        """
        found = cluster(self.name, self.config, frames, seed, self.device)
        made = {"feature_type": self.name, "front_end": self.front_end(), **found.facts}
        self.state_dir = Path(state_dir)
        self._fitted = None
        write_tensors(self.state_path, found.tensors, {METADATA_KEY: as_text(made)})

    def _read_state(self) -> Centroids:
        path = self.state_path
        if self.config.kmeans_path:
            return self._checked(read_centroids(path), path)
        found = read_tensors(path, REFIT)
        check_origin(path, found.made.get(METADATA_KEY, {}), self.name, self.front_end())
        missing = [key for key in STATE if key not in found.tensors]
        if missing:
            raise ValueError(f"{path} has no '{missing[0]}'; {REFIT}.")
        return self._checked({key: found.tensors[key].numpy() for key in STATE}, path)

    def _checked(self, arrays: Dict[str, np.ndarray], path: Path) -> Centroids:
        advice = "correct `num_clusters`." if self.config.kmeans_path else f"{REFIT}."
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return checked_centroids(arrays, f"{path} holds", self.config.num_clusters, advice, sha256, self.device)
