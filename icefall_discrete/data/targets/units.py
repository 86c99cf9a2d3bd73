"""Codes of another feature type as what is learnt of an utterance: how many there are, and what they mean."""

from pathlib import Path
from typing import Any

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.data.targets.contract import Targets

FILE = "units.json"


class UnitTargets(CodeTargets):
    """Codes come with a batch (data/units.py): of the facts of an utterance nothing is learnt.

    Args:
      spec: of the codes.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec

    @property
    def size(self) -> int:
        """Codes of the first codebook."""
        return self.spec.codebook_sizes[0]

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether they are codes of the same spec."""
        return isinstance(other, UnitTargets) and not other.spec.differences(self.spec)

    def save(self, folder: Path) -> None:
        """Write units.json, a spec, or check that it is there already."""
        path = Path(folder) / FILE
        if path.is_file():
            FeatureSpec.read(path).require_same(self.spec, "what training began with", str(path))
        self.spec.write(path)

    @classmethod
    def load(cls, folder: Path) -> "UnitTargets":
        """What was saved in an experiment folder."""
        return cls(FeatureSpec.read(Path(folder) / FILE))
