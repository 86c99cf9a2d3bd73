"""One class an utterance: its language, its speaker, or a field of the corpus such as a keyword or an emotion."""

import collections
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.shapes import OBJECT, TEXT, read_shaped
from icefall_discrete.data.facts import Facts, facts_of, require_fact
from icefall_discrete.data.targets.contract import Targets

FILE_NAME = "classes.json"


class ClassTargets(Targets[int, Tensor]):
    """Number of the class of each utterance, from 0; (N,) int64 of a batch.

    Args:
      fact: what the class is. counts: utterances of the training data by class; classes are numbered in this order.
    """

    def __init__(self, fact: str, counts: Mapping[str, int]) -> None:
        if len(counts) < 2:
            raise ValueError(
                f"the training data has {len(counts)} {fact} ({', '.join(counts) or 'none'}), expected at least 2 to "
                "tell apart; choose another fact, or other data."
            )
        self.fact = fact
        self.counts = dict(counts)
        self._numbers = {name: number for number, name in enumerate(counts)}

    @classmethod
    def from_cuts(cls, fact: str, cuts: Iterable[Cut]) -> "ClassTargets":
        """The classes of the training data, sorted. Raises ValueError for a cut without the fact, naming it."""
        counts: Dict[str, int] = collections.Counter()
        for cut in cuts:
            require_fact(cut, fact)
            counts[str(facts_of(cut)[fact])] += 1
        return cls(fact, dict(sorted(counts.items())))

    @property
    def names(self) -> List[str]:
        """The classes, in the order of their numbers."""
        return list(self.counts)

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(self.counts)

    def of_facts(self, facts: Facts) -> int:
        """Number of the class."""
        value = facts.get(self.fact)
        if value is None:
            raise ValueError(f"its {self.fact} is not known; give it one in the manifest stage, or drop it.")
        if str(value) not in self._numbers:
            raise ValueError(
                f"its {self.fact} is {value}, which is none of the {self.size} of the training data "
                f"({', '.join(self.names[:20])}); drop it, or train on data that has it."
            )
        return self._numbers[str(value)]

    def frames_needed(self, cut: Cut) -> int:
        """One is enough."""
        self.of(cut)
        return 1

    def collated(self, targets: List[int]) -> Tensor:
        """Numbers (N,) int64."""
        return torch.tensor(targets, dtype=torch.int64)

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether they are the same classes of the same fact."""
        return isinstance(other, ClassTargets) and (other.fact, other.names) == (self.fact, self.names)

    def save(self, folder: Path) -> None:
        """Write classes.json, or check that the same classes are there."""
        path = Path(folder) / FILE_NAME
        if path.is_file():
            there = self.load(folder)
            if not self.means_the_same(there):
                raise ValueError(
                    f"{path}, with which training began, has {there.size} classes of {there.fact} "
                    f"({', '.join(there.names[:20])}), the training data now {self.size} of {self.fact} "
                    f"({', '.join(self.names[:20])}); use another --exp-dir, or the data of before."
                )
            return
        write_json(path, {"fact": self.fact, "classes": self.counts})

    @classmethod
    def load(cls, folder: Path) -> "ClassTargets":
        """The classes of an experiment folder."""
        path = Path(folder) / FILE_NAME
        advice = "copy it anew from where it was trained, or train again in another --exp-dir"
        values = read_shaped(path, {"fact": TEXT, "classes": OBJECT}, advice)
        return cls(values["fact"], values["classes"])
