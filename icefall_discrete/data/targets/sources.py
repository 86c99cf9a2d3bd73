"""What a mixture is parted into: the names of its sources, in the order of a network's outputs."""

from pathlib import Path
from typing import Any, List, Sequence

from lhotse.cut import Cut

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.shapes import TEXTS, read_shaped
from icefall_discrete.data.facts import Facts
from icefall_discrete.data.targets.contract import Targets

FILE = "sources.json"


class SourceTargets(Targets[None, None]):
    """Codes of sources come with a batch (data/sources.py): of the facts of an utterance nothing is learnt.

    Args:
      names: of the sources.
    """

    fact = "text"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.names)

    def of(self, cut: Cut) -> None:
        """Nothing is asked of a cut."""

    def of_facts(self, facts: Facts) -> None:
        """Nothing."""

    def frames_needed(self, cut: Cut) -> int:
        """One is enough."""
        return 1

    def collated(self, targets: List[None]) -> None:
        """Nothing."""

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether they are the same sources in the same order."""
        return isinstance(other, SourceTargets) and other.names == self.names

    def save(self, folder: Path) -> None:
        """Write sources.json, or check that it is there already."""
        path = Path(folder) / FILE
        if path.is_file() and not self.means_the_same(self.load(folder)):
            begun = ", ".join(self.load(folder).names)
            raise ValueError(
                f"{path}, with which training began, has the sources {begun}, now they are {', '.join(self.names)}; "
                "train in another --exp-dir."
            )
        write_json(path, {"sources": self.names})

    @classmethod
    def load(cls, folder: Path) -> "SourceTargets":
        """What was saved in an experiment folder."""
        return cls(
            read_shaped(Path(folder) / FILE, {"sources": TEXTS}, "copy it from where the model comes from")["sources"]
        )
