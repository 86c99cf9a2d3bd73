"""FeatureSpec: all that a consumer of codes or features knows about them, and all it may know.

It is written once as `spec.json` beside the data, copied into the experiment folder and compared at load, so that
codes of another layer, k-means, rate or tokenizer cannot go unseen.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Dict, List, Tuple, Union

from icefall_discrete.base.json_files import read_json, write_json
from icefall_discrete.base.provenance import Difference, against, differences
from icefall_discrete.base.settings import from_dict, to_dict

KINDS = ("codes", "continuous")
_MAX_HZ, _MAX_SIZE = 10**6, 2**24


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """The promise that a tokenizer makes about its output.

    name: the feature type. kind: "codes" or "continuous". sample_rate_hz: rate of the audio it reads.
    frame_rate_hz: frames a second. num_codebooks: K (0 if continuous). codebook_sizes: V of each codebook; ids are
    0..V-1 and V is padding. feature_dim: D of continuous features (0 for codes). provenance: tokenizer, settings, hash
    of the weights, k-means hash; compared with the rest. library versions belong in `made_with`, which is not compared.
    max_frame_rate_hz: 0 where the rate is constant. Above 0 it is variable: a frame stands for one or more frames at
    this rate, so that no utterance has more, and `frame_rate_hz` is the average over the audio that was fitted on.
    """

    name: str
    kind: str
    sample_rate_hz: int
    frame_rate_hz: float
    num_codebooks: int
    codebook_sizes: Tuple[int, ...]
    feature_dim: int
    provenance: Dict[str, Any] = dataclasses.field(default_factory=dict)
    made_with: Dict[str, str] = dataclasses.field(default_factory=dict)
    max_frame_rate_hz: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"spec '{self.name}': kind is '{self.kind}', expected one of {', '.join(KINDS)}.")
        self._require_ranges()
        if self.kind == "codes" and len(self.codebook_sizes) != self.num_codebooks:
            raise ValueError(
                f"spec '{self.name}': {self.num_codebooks} codebooks but {len(self.codebook_sizes)} codebook sizes."
            )
        if self.kind == "continuous" and self.feature_dim <= 0:
            raise ValueError(f"spec '{self.name}': continuous features need feature_dim > 0, got {self.feature_dim}.")
        if self.has_variable_rate and not 0.0 < self.frame_rate_hz <= self.max_frame_rate_hz:
            raise ValueError(
                f"spec '{self.name}': the average rate is {self.frame_rate_hz} Hz, expected above 0 and at most the "
                f"highest, {self.max_frame_rate_hz} Hz."
            )

    def _require_ranges(self) -> None:
        """So that nobody makes tables of what could never be."""
        ranges = {
            "sample_rate_hz": ((self.sample_rate_hz,), 1, _MAX_HZ),
            "frame_rate_hz": ((self.frame_rate_hz,), 0, _MAX_HZ),
            "codebook_sizes": (self.codebook_sizes, 1, _MAX_SIZE),
            "feature_dim": ((self.feature_dim,), 0, _MAX_SIZE),
            "max_frame_rate_hz": ((self.max_frame_rate_hz,), 0, _MAX_HZ),
        }
        for name, (values, least, most) in ranges.items():
            for value in values:
                if not least <= value <= most:
                    raise ValueError(f"spec '{self.name}': {name} has {value}, expected {least} to {most}.")

    @property
    def has_variable_rate(self) -> bool:
        """Whether the number of frames depends on what is said, not only on how long it takes."""
        return self.max_frame_rate_hz != 0.0

    @property
    def pad_ids(self) -> Tuple[int, ...]:
        """Padding (and mask) id of each codebook: its size."""
        return self.codebook_sizes

    @property
    def bits_per_second(self) -> float:
        """Nominal bit rate: frame rate x sum of log2 V; continuous features count 32 bits a value.

        As in Table 1 of https://arxiv.org/abs/2309.07377. Of a variable rate, the average is taken.
        """
        if self.kind == "continuous":
            return self.frame_rate_hz * self.feature_dim * 32
        return self.frame_rate_hz * sum(math.log2(size) for size in self.codebook_sizes)

    def num_frames(self, duration_sec: float) -> int:
        """Frames promised for `duration_sec` seconds of audio, up to the tokenizer's edge (a frame or two).

        Where the rate is variable: the most there can be.
        """
        return round(duration_sec * (self.max_frame_rate_hz or self.frame_rate_hz))

    def to_json(self) -> Dict[str, Any]:
        """What spec.json holds: every field, but `max_frame_rate_hz` only where the rate is variable."""
        values = to_dict(self)
        if not self.has_variable_rate:
            del values["max_frame_rate_hz"]
        return values

    def differences(self, other: "FeatureSpec") -> Dict[str, Tuple[Any, Any]]:
        """Fields (and provenance entries) that differ, as {name: (self, other)}; versions are not compared."""
        return {found.name: (found.was, found.now) for found in self._differences(other)}

    def promise(self) -> Dict[str, Any]:
        """All that is compared: every field but the versions of libraries."""
        return {name: value for name, value in to_dict(self).items() if name != "made_with"}

    def _differences(self, other: "FeatureSpec") -> List[Difference]:
        return differences(self.promise(), other.promise())

    def require_same(self, other: "FeatureSpec", mine: str, theirs: str) -> None:
        """Raise ValueError, naming every difference, if `other` (called `theirs`) promises something else than this."""
        found = self._differences(other)
        if found:
            raise ValueError(
                f"{theirs} does not fit {mine}: {against(found)}. "
                "Use cuts extracted with the same feature type, or train again."
            )

    def write(self, path: Union[str, Path]) -> None:
        """Write spec.json, atomically."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Union[str, Path]) -> "FeatureSpec":
        """Read spec.json."""
        return from_dict(cls, read_json(path), str(path))
