"""Codes of another feature type beside the frames of a cut: what hidden frames are to be known by.

They lie in the folder of that feature type, beside that of the frames, in the split of the same name.
"""

import dataclasses
from pathlib import Path
from typing import List

import torch
from lhotse import CutSet
from lhotse.array import TemporalArray
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import FIELDS, load_feature_cuts, load_frames
from icefall_discrete.data.dataset import Batch

UNITS, UNIT_LENS = "units", "unit_lens"
_FIELD = "codes_to_find"
_CODES = FIELDS["codes"]


def with_units(cuts: CutSet, folder: Path, split: str) -> CutSet:
    """The cuts of a split with the codes of `folder`, for WithUnits.

    Raises:
      FileNotFoundError: if there are none. ValueError: if they are no codes of a constant rate, or a cut, which is
        named, has none.
    """
    path = Path(folder) / f"{split}.jsonl.gz"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}, the codes that are to be found, does not exist; extract that feature type first (run.sh "
            f"--feature-type {Path(folder).name} --stage 2 --stop-stage 3), or name another in target.units."
        )
    units, spec = load_feature_cuts(path)
    if spec.kind != "codes" or spec.has_variable_rate:
        raise ValueError(f"'{spec.name}' has no codes of a constant rate, which target.units is to name.")
    known = {cut.id: cut for cut in units}
    return CutSet.from_cuts([_with_units(cut, known.get(cut.id), path) for cut in cuts])


def _with_units(cut: Cut, unit: "Cut | None", path: Path) -> Cut:
    array = None if unit is None else (unit.custom or {}).get(_CODES)
    if not isinstance(array, TemporalArray):
        raise ValueError(
            f"cut {cut.id}: it has no codes in {path}; extract both feature types of the same cuts, at the same speeds."
        )
    return fastcopy(cut, custom={**(cut.custom or {}), _FIELD: array})


def spec_of_units(cuts: CutSet) -> FeatureSpec:
    """The spec of the codes that `with_units` gave to cuts."""
    for cut in cuts:
        return FeatureSpec.read(Path(cut.custom[_FIELD].array.storage_path).parent / "spec.json")
    raise ValueError("there are no cuts to take the codes from that are to be found.")


@dataclasses.dataclass(frozen=True)
class WithUnits:
    """Adds `units` (N, U) int64, -1 behind ends, and `unit_lens` (N,): the first codebook of the codes of each cut."""

    spec: FeatureSpec

    def __call__(self, cuts: CutSet, batch: Batch) -> Batch:
        """The batch of these cuts, which `with_units` gave, with their codes."""
        rows: List[torch.Tensor] = []
        for cut in cuts:
            custom = {**cut.custom, _CODES: cut.custom[_FIELD]}
            rows.append(torch.from_numpy(load_frames(fastcopy(cut, custom=custom), self.spec)[:, 0]).long())
        lens = torch.tensor([len(row) for row in rows])
        return {
            **batch,
            UNITS: torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1),
            UNIT_LENS: lens,
        }
