"""What is learnt of an utterance: made from the facts of its cut, put together for a batch, kept with the experiment.

The dataset carries facts as plain values (data/facts.py), so that a batch which is saved can be read by anybody;
targets turn them into tensors. The filter, the checks and the experiment folder ask the targets, whatever they are.
"""

import abc
from pathlib import Path
from typing import Any, Generic, List, Mapping, TypeVar

from lhotse.cut import Cut

from icefall_discrete.data.dataset import facts_in
from icefall_discrete.data.facts import Facts, facts_of, require_fact
from icefall_discrete.text.coverage import Coverage

One = TypeVar("One")
Many = TypeVar("Many")


class LeftOut(Exception):
    """Why a cut is not trained on, such as "no alignment": a reason that is counted with those of other cuts."""


class Targets(abc.ABC, Generic[One, Many]):
    """What a system learns of utterances: `One` of each, `Many` as the tensors of a batch."""

    fact: str
    """Name of the fact that a cut must have."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Number of output units of a network that learns them."""

    @abc.abstractmethod
    def of_facts(self, facts: Facts) -> One:
        """The target of an utterance. Raises ValueError, the end of a sentence about its cut, if it has none."""

    @abc.abstractmethod
    def frames_needed(self, cut: Cut) -> int:
        """How many encoder frames the loss of a cut needs.

        Raises:
          ValueError: naming the cut, if it has no target. LeftOut: if it is to be passed over.
        """

    def cover(self, cut: Cut, coverage: Coverage) -> None:
        """Count what of a cut's text can be learnt; nothing where no text is."""

    @abc.abstractmethod
    def collated(self, targets: List[One]) -> Many:
        """Tensors of the targets of N utterances."""

    @abc.abstractmethod
    def means_the_same(self, other: "Targets[Any, Any]") -> bool:
        """Whether each output unit means the same in `other`, so that weights trained for one serve the other."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` reads, or check that it is there already.

        Raises:
          ValueError: if the folder holds other targets; what differs is named.
        """

    @classmethod
    @abc.abstractmethod
    def load(cls, folder: Path) -> "Targets[One, Many]":
        """What was saved in an experiment folder."""

    def of(self, cut: Cut) -> One:
        """The target of a cut. Raises ValueError, naming it, if it has none."""
        require_fact(cut, self.fact)
        return self._named(cut.id, facts_of(cut))

    def collate(self, batch: Mapping[str, Any]) -> Many:
        """Tensors of the targets of a batch. Raises ValueError, naming the cut, if one has none."""
        return self.collated([self._named(*pair) for pair in zip(batch["cut_ids"], facts_in(batch))])

    def _named(self, cut_id: str, facts: Facts) -> One:
        try:
            return self.of_facts(facts)
        except ValueError as error:
            raise ValueError(f"cut {cut_id}: {error}") from None
