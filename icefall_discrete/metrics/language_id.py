"""Language identification: how often a model says the language that is spoken."""

import dataclasses
from typing import Iterable, Optional, Tuple

from icefall_discrete.metrics.facts import Metric

METRICS = (
    Metric(
        "language_id",
        "LID",
        "accuracy",
        "`LID` is how many percent of the utterances a model says the right language of, where its labels say "
        "languages.",
        higher_is_better=True,
        is_aside=True,
    ),
)


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
