"""Who speaks, for systems that speak: a table of the voices of the training data, and row 0 for any other."""

import collections
from typing import Dict, Iterable, Mapping

from lhotse.cut import Cut

from icefall_discrete.base.names import known_names
from icefall_discrete.data.facts import Facts, facts_of
from icefall_discrete.data.targets.named import NamedTargets

ANY_VOICE = 0


class VoiceTargets(NamedTargets):
    """Number of the voice of each utterance: from 1, or 0 for one that is not known; (N,) int64 of a batch.

    Args:
      fact: what tells voices apart. counts: utterances of the training data by voice; they are numbered in this order.
        None has one where manifests say nothing of it.
    """

    noun, link = "voices", "by"

    def __init__(self, fact: str, counts: Mapping[str, int]) -> None:
        super().__init__(fact, counts, first=ANY_VOICE + 1)

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
        """The number of a cut's voice, also where it has none."""
        return self.of_facts(facts_of(cut))

    def of_facts(self, facts: Facts) -> int:
        """The number of the voice that facts tell of."""
        return self._numbers.get(str(facts.get(self.fact)), ANY_VOICE)
