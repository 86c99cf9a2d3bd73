"""One k-means a language: codes of a cut come from the centroids of its language.

The question is that of https://arxiv.org/abs/2409.08805: one k-means for all languages, or one for each.
"""

import copy
import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import as_text, read_tensors, write_tensors
from icefall_discrete.tokenizers.quantizers import LanguageQuantizer, QuantizerOfFile
from icefall_discrete.tokenizers.quantizers.kmeans import (
    FIT_SETTINGS,
    REFIT,
    STATE,
    Centroids,
    ClusteringConfig,
    check_origin,
    checked_centroids,
    cluster,
    nearest,
)

METADATA_KEY = "kmeans_by_language"


@dataclasses.dataclass(frozen=True)
class KmeansByLanguageConfig(ClusteringConfig):
    """k-means on the frames of each language."""

    own_ids: bool = setting(
        True,
        "Each language has ids of its own, in one codebook of languages x num_clusters; false: all have the ids from 0 "
        "to num_clusters - 1, and what an id means depends on the language.",
    )


class KmeansByLanguage(QuantizerOfFile[Dict[str, Centroids]], LanguageQuantizer):
    """One code a frame, the nearest of the V centroids of the language; languages in the order of their names."""

    Config = KmeansByLanguageConfig
    libraries = ("scikit-learn",)
    fit_settings = FIT_SETTINGS
    file_name = "kmeans_by_language.safetensors"

    def __init__(
        self, name: str, config: Any, state_dir: Optional[Path], front_end: Callable[[], Dict[str, Any]]
    ) -> None:
        """See Quantizer."""
        super().__init__(name, config, state_dir, front_end)
        self._language: Optional[str] = None

    @property
    def codebook_sizes(self) -> Tuple[int, ...]:
        """One codebook, of V or of languages x V; the latter is a RuntimeError if not fitted."""
        return (self.config.num_clusters * (len(self._state()) if self.config.own_ids else 1),)

    @property
    def first_ids(self) -> Dict[str, int]:
        """The first id of each language. RuntimeError if not fitted."""
        step = self.config.num_clusters if self.config.own_ids else 0
        return {language: step * index for index, language in enumerate(self._state())}

    @property
    def provenance(self) -> Dict[str, Any]:
        """For each language its first id and the hash of its centroids. RuntimeError if not fitted."""
        hashes = {language: state.sha256 for language, state in self._state().items()}
        return {"first_ids": self.first_ids, "kmeans_sha256": hashes}

    def codebooks(self) -> Optional[List[Tensor]]:
        """Own ids: the centroids of all [(languages x V, D)], each in the space of its language. Else None."""
        states = self._state().values()
        return [torch.cat([state.centroids for state in states]).cpu()] if self.config.own_ids else None

    def in_language(self, language: Optional[str]) -> "KmeansByLanguage":
        """See LanguageQuantizer."""
        self._of(language)
        chosen = copy.copy(self)
        chosen._language = language
        return chosen

    def quantize(self, frames: Tensor) -> Tensor:
        """See Quantizer. Raises ValueError unless it is one of `in_language`."""
        language, state = self._of(self._language)
        where = f"the centroids of '{language}' in {self.state_path}"
        return nearest(state, frames, where, self.name) + self.first_ids[language]

    def _of(self, language: Optional[str]) -> Tuple[str, Centroids]:
        """The language and its centroids. Raises ValueError, naming the known ones, if it is None or not of them."""
        known = self._state()
        if language is None:
            raise ValueError(
                f"'{self.name}' has a k-means for each language ({', '.join(known)}), and that of the audio is not "
                "known; say which it is."
            )
        if language not in known:
            raise ValueError(
                f"'{self.name}' has no k-means for language '{language}', only for {', '.join(known)}; "
                "fit it on audio of this language too, or leave such audio out."
            )
        return language, known[language]

    def fit_by_language(self, frames: Mapping[str, Iterable[Tensor]], state_dir: Path, seed: int) -> None:
        """Cluster a uniform sample of each language; write kmeans_by_language.safetensors, whole or not at all.

        Memory is bounded by `fit_memory_mib`, since languages are clustered one after the other.
        Raises ValueError if a language, which is named, has fewer frames than clusters.
        """
        tensors: Dict[str, Tensor] = {}
        facts: Dict[str, Any] = {}
        for language in sorted(frames):
            found = cluster(f"{self.name} ({language})", self.config, frames[language], seed, self.device)
            tensors.update((f"{language}.{key}", value) for key, value in found.tensors.items())
            facts[language] = found.facts
        made = {"feature_type": self.name, "front_end": self.front_end(), "languages": facts}
        self.state_dir = Path(state_dir)
        self._fitted = None
        write_tensors(self.state_path, tensors, {METADATA_KEY: as_text(made)})

    def _read_state(self) -> Dict[str, Centroids]:
        path = self.state_path
        found = read_tensors(path, REFIT)
        made = found.made.get(METADATA_KEY, {})
        check_origin(path, made, self.name, self.front_end())
        states: Dict[str, Centroids] = {}
        for language in sorted(made.get("languages", {})):
            arrays = {}
            digest = hashlib.sha256()
            for key in STATE:
                name = f"{language}.{key}"
                if name not in found.tensors:
                    raise ValueError(f"{path} has no '{name}'; {REFIT}.")
                arrays[key] = found.tensors[name].numpy()
                digest.update(arrays[key].tobytes())
            holds, num_clusters = f"{path} holds for '{language}'", self.config.num_clusters
            states[language] = checked_centroids(
                arrays, holds, num_clusters, f"{REFIT}.", digest.hexdigest(), self.device
            )
        if not states:
            raise ValueError(f"{path} names no language; {REFIT}.")
        return states
