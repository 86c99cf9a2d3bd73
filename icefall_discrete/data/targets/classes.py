"""One class an utterance: its language, its speaker, or a field of the corpus such as a keyword or an emotion."""

import collections
from typing import Dict, Iterable, Mapping

from lhotse.cut import Cut

from icefall_discrete.data.facts import Facts, facts_of, require_fact
from icefall_discrete.data.targets.named import NamedTargets


class ClassTargets(NamedTargets):
    """Number of the class of each utterance, from 0; (N,) int64 of a batch.

    Args:
      fact: what the class is. counts: utterances of the training data by class; classes are numbered in this order.
    """

    noun, link = "classes", "of"

    def __init__(self, fact: str, counts: Mapping[str, int]) -> None:
        if len(counts) < 2:
            raise ValueError(
                f"the training data has {len(counts)} {fact} ({', '.join(counts) or 'none'}), expected at least 2 to "
                "tell apart; choose another fact, or other data."
            )
        super().__init__(fact, counts)

    @classmethod
    def from_cuts(cls, fact: str, cuts: Iterable[Cut]) -> "ClassTargets":
        """The classes of the training data, sorted. Raises ValueError for a cut without the fact, naming it."""
        counts: Dict[str, int] = collections.Counter()
        for cut in cuts:
            require_fact(cut, fact)
            counts[str(facts_of(cut)[fact])] += 1
        return cls(fact, dict(sorted(counts.items())))

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
