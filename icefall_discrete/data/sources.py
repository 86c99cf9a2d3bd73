"""Codes of what a mixture is made of, beside the mixture's own: its clean speech, or each of its speakers.

The codes of source S of a split lie in the same folder, as split `<split>-<S>`, whose cuts have the ids of the
mixtures.
"""

import dataclasses
from pathlib import Path
from typing import Dict, List, Sequence

import torch
from lhotse import CutSet
from lhotse.array import TemporalArray
from lhotse.cut import Cut
from lhotse.utils import fastcopy
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import field_name, load_cuts, load_feature_cuts, load_frames
from icefall_discrete.data.dataset import Batch

SOURCES = "sources"
_FIELD = "codes_of_"


def split_of_source(split: str, source: str) -> str:
    """Name of the split that holds a source of the mixtures of `split`: `train-clean`."""
    return f"{split}-{source}"


def load_source_cuts(feature_dir: Path, split: str, source: str) -> Dict[str, Cut]:
    """The cuts of a source of a split, by the ids of the mixtures. Raises FileNotFoundError if they are not there."""
    path = Path(feature_dir) / f"{split_of_source(split, source)}.jsonl.gz"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}, the codes of source '{source}' of {split}, does not exist; extract it too (stage 3), or name "
            "other sources."
        )
    return {cut.id: cut for cut in load_cuts(path)}


def with_sources(cuts: CutSet, spec: FeatureSpec, feature_dir: Path, split: str, sources: Sequence[str]) -> CutSet:
    """The mixtures of a split with the codes of their sources, for WithSources.

    Raises:
      FileNotFoundError: if those of a source were not extracted. ValueError: if they are of another spec, or a mixture,
        which is named, lacks one, or has one of another length.
    """
    kept: List[Cut] = list(cuts)
    for source in sources:
        load_source_cuts(feature_dir, split, source)  # its sentence, if there is none
        path = Path(feature_dir) / f"{split_of_source(split, source)}.jsonl.gz"
        known = {cut.id: cut for cut in load_feature_cuts(path, spec)[0]}
        kept = [_with_source(cut, known, spec, source, path) for cut in kept]
    return CutSet.from_cuts(kept)


def _with_source(cut: Cut, known: Dict[str, Cut], spec: FeatureSpec, source: str, path: Path) -> Cut:
    if cut.id not in known:
        raise ValueError(f"cut {cut.id}: its source '{source}' is missing in {path}; make the manifests again.")
    field = field_name(spec)
    mine, theirs = (cut.custom or {}).get(field), (known[cut.id].custom or {}).get(field)
    if not isinstance(mine, TemporalArray) or not isinstance(theirs, TemporalArray):
        raise ValueError(f"cut {cut.id}: it or its source '{source}' has no {field}; extract both (stage 3).")
    if mine.shape[0] != theirs.shape[0]:
        raise ValueError(
            f"cut {cut.id}: {mine.shape[0]} frames, but its source '{source}' has {theirs.shape[0]}; both must be "
            "equally long: make the manifests again, of audio that is."
        )
    return fastcopy(cut, custom={**(cut.custom or {}), _FIELD + source: fastcopy(theirs, start=mine.start)})


@dataclasses.dataclass(frozen=True)
class WithSources:
    """Adds `sources` (N, T, S, K) int64 to a batch, padded with the padding ids: the codes of S sources of each cut."""

    spec: FeatureSpec
    sources: Sequence[str]

    def __call__(self, cuts: CutSet, batch: Batch) -> Batch:
        """The batch of these cuts, which `with_sources` gave, with their sources."""
        size = int(batch["frame_lens"].max())
        padded = torch.tensor(self.spec.pad_ids).repeat(len(batch["cut_ids"]), size, len(self.sources), 1)
        for row, cut in zip(padded, cuts):
            codes = codes_of_sources(cut, self.spec, self.sources)
            row[: len(codes)] = codes
        return {**batch, SOURCES: padded}


def codes_of_sources(cut: Cut, spec: FeatureSpec, sources: Sequence[str]) -> Tensor:
    """Codes (T, S, K) int64 of the sources of a cut that `with_sources` gave."""
    rows = []
    for source in sources:
        custom = {**cut.custom, field_name(spec): cut.custom[_FIELD + source]}
        rows.append(torch.from_numpy(load_frames(fastcopy(cut, custom=custom), spec)).long())
    return torch.stack(rows, dim=1)
