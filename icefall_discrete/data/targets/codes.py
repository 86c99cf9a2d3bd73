"""The codes of an utterance themselves as what is learnt: nothing need be known of it."""

from pathlib import Path
from typing import Any, List

from lhotse.cut import Cut

from icefall_discrete.data.facts import Facts
from icefall_discrete.data.targets.contract import Targets


class CodeTargets(Targets[None, None]):
    """Nothing besides the frames of a batch; what they mean is in their spec."""

    fact = ""

    @property
    def size(self) -> int:
        """0: the spec says how many codes there are."""
        return 0

    def of(self, cut: Cut) -> None:
        """Nothing."""

    def of_facts(self, facts: Facts) -> None:
        """Nothing."""

    def frames_needed(self, cut: Cut) -> int:
        """One."""
        return 1

    def collated(self, targets: List[None]) -> None:
        """Nothing."""

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether the other is codes too."""
        return isinstance(other, CodeTargets)

    def save(self, folder: Path) -> None:
        """Nothing is to be kept."""

    @classmethod
    def load(cls, folder: Path) -> "CodeTargets":
        """Those of any folder."""
        return cls()
