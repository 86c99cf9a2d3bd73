"""Language identification: how often a model says the language that is spoken."""

import dataclasses
from typing import Dict, Iterable, Mapping, Optional, Tuple


@dataclasses.dataclass(frozen=True)
class Identification:
    """Counts of utterances. num: all of them. correct: right language. none: those for which no language was said."""

    num: int = 0
    correct: int = 0
    none: int = 0

    @property
    def rate(self) -> float:
        """Accuracy in percent: correct / num; an utterance without a language is an error.

        Raises:
          ValueError: if there is no utterance.
        """
        if self.num == 0:
            raise ValueError("an accuracy needs at least one utterance, got none.")
        return 100.0 * self.correct / self.num


def identification(pairs: Iterable[Tuple[Optional[str], Optional[str]]]) -> Identification:
    """Counts over pairs (language spoken, language said); None for said stands for none at all."""
    pairs = list(pairs)
    correct = sum(spoken is not None and spoken == said for spoken, said in pairs)
    return Identification(len(pairs), correct, sum(said is None for _, said in pairs))


def confusions(spoken: Mapping[str, str], said: Mapping[str, Optional[str]]) -> Dict[str, Dict[str, int]]:
    """Number of utterances by language spoken, then by language said ("none" for none), both sorted.

    Args:
      spoken: language by cut id. said: language that was recognised by cut id, of the cuts that count.
    """
    table: Dict[str, Dict[str, int]] = {}
    for cut_id, found in said.items():
        row = table.setdefault(spoken[cut_id], {})
        row[found or "none"] = row.get(found or "none", 0) + 1
    return {language: dict(sorted(row.items())) for language, row in sorted(table.items())}
