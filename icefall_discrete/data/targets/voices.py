"""Who speaks, for systems that speak: a table of the voices of the training data, and row 0 for any other."""

import collections
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import known_names
from icefall_discrete.base.shapes import OBJECT, TEXT, read_shaped
from icefall_discrete.data.facts import Facts, facts_of
from icefall_discrete.data.targets.contract import Targets

FILE_NAME = "voices.json"
ANY_VOICE = 0


class VoiceTargets(Targets[int, Tensor]):
    """Number of the voice of each utterance: from 1, or 0 for one that is not known; (N,) int64 of a batch.

    Args:
      fact: what tells voices apart. counts: utterances of the training data by voice; they are numbered in this order.
        None has one where manifests say nothing of it.
    """

    def __init__(self, fact: str, counts: Mapping[str, int]) -> None:
        self.fact = fact
        self.counts = dict(counts)
        self._numbers = {name: number for number, name in enumerate(counts, start=1)}

    @classmethod
    def from_cuts(cls, fact: str, cuts: Iterable[Cut]) -> "VoiceTargets":
        """The voices of the training data, sorted."""
        counts: Dict[str, int] = collections.Counter()
        for cut in cuts:
            value = facts_of(cut).get(fact)
            if value is not None:
                counts[str(value)] += 1
        return cls(fact, dict(sorted(counts.items())))

    @property
    def names(self) -> List[str]:
        """The voices, in the order of their numbers."""
        return list(self.counts)

    @property
    def size(self) -> int:
        """Rows of the table: the voices, and that of any other."""
        return 1 + len(self.counts)

    def number_of(self, name: str) -> int:
        """Number of the voice called `name`; "" is any. Raises ValueError, with the known ones, if there is none."""
        if not name:
            return ANY_VOICE
        if name not in self._numbers:
            known = known_names(self.names, name) if self.names else "none is known, so leave it away."
            raise ValueError(f"unknown {self.fact} '{name}'; {known}")
        return self._numbers[name]

    def of(self, cut: Cut) -> int:
        """The number of a cut's voice."""
        return self.of_facts(facts_of(cut))

    def of_facts(self, facts: Facts) -> int:
        """The number of the voice that facts tell of."""
        return self._numbers.get(str(facts.get(self.fact)), ANY_VOICE)

    def frames_needed(self, cut: Cut) -> int:
        """One is enough."""
        return 1

    def collated(self, targets: List[int]) -> Tensor:
        """Numbers (N,) int64."""
        return torch.tensor(targets, dtype=torch.int64)

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether they are the same voices of the same fact."""
        return isinstance(other, VoiceTargets) and (other.fact, other.names) == (self.fact, self.names)

    def save(self, folder: Path) -> None:
        """Write voices.json, or check that the same voices are there."""
        path = Path(folder) / FILE_NAME
        if path.is_file():
            there = self.load(folder)
            if not self.means_the_same(there):
                raise ValueError(
                    f"{path}, with which training began, has {len(there.names)} voices by {there.fact} "
                    f"({', '.join(there.names[:20])}), the training data now {len(self.names)} by {self.fact} "
                    f"({', '.join(self.names[:20])}); use another --exp-dir, or the data of before."
                )
            return
        write_json(path, {"fact": self.fact, "voices": self.counts})

    @classmethod
    def load(cls, folder: Path) -> "VoiceTargets":
        """The voices of an experiment folder."""
        path = Path(folder) / FILE_NAME
        advice = "copy it anew from where it was trained, or train again in another --exp-dir"
        values = read_shaped(path, {"fact": TEXT, "voices": OBJECT}, advice)
        return cls(values["fact"], values["voices"])
