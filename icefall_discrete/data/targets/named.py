"""What targets that number the values of a fact share: the table, its file, and when two are the same."""

from pathlib import Path
from typing import Any, ClassVar, List, Mapping, Type, TypeVar

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.shapes import OBJECT, TEXT, read_shaped
from icefall_discrete.data.targets.contract import Targets

Self = TypeVar("Self", bound="NamedTargets")


class NamedTargets(Targets[int, Tensor]):
    """Number of the value of a fact for each utterance; (N,) int64 of a batch.

    Args:
      fact: whose values. counts: utterances of the training data by value; they are numbered in this order.
      first: number of the first one.
    """

    # What values are called, in <noun>.json and in sentences, and the word between that and the fact.
    noun: ClassVar[str]
    link: ClassVar[str]

    def __init__(self, fact: str, counts: Mapping[str, int], first: int = 0) -> None:
        self.fact = fact
        self.counts = dict(counts)
        self._numbers = {name: number for number, name in enumerate(counts, start=first)}

    @property
    def names(self) -> List[str]:
        """The values, in the order of their numbers."""
        return list(self.counts)

    def frames_needed(self, cut: Cut) -> int:
        """One is enough."""
        self.of(cut)
        return 1

    def collated(self, targets: List[int]) -> Tensor:
        """Numbers (N,) int64."""
        return torch.tensor(targets, dtype=torch.int64)

    def means_the_same(self, other: Targets[Any, Any]) -> bool:
        """Whether they are the same values of the same fact."""
        return isinstance(other, type(self)) and (other.fact, other.names) == (self.fact, self.names)

    def save(self, folder: Path) -> None:
        """Write <noun>.json, or check that the same values are there."""
        path = Path(folder) / f"{self.noun}.json"
        if path.is_file():
            there = self.load(folder)
            if not self.means_the_same(there):
                raise ValueError(
                    f"{path}, with which training began, has {len(there.names)} {self.noun} {self.link} {there.fact} "
                    f"({', '.join(there.names[:20])}), the training data now {len(self.names)} {self.link} {self.fact} "
                    f"({', '.join(self.names[:20])}); use another --exp-dir, or the data of before."
                )
            return
        write_json(path, {"fact": self.fact, self.noun: self.counts})

    @classmethod
    def load(cls: Type[Self], folder: Path) -> Self:
        """The table of an experiment folder."""
        path = Path(folder) / f"{cls.noun}.json"
        advice = "copy it anew from where it was trained, or train again in another --exp-dir"
        values = read_shaped(path, {"fact": TEXT, cls.noun: OBJECT}, advice)
        return cls(values["fact"], values[cls.noun])
