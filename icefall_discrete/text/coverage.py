"""How much of a text has pieces: what has none is counted, shown with examples, and refused above a bound."""

import collections
import logging
from typing import Counter, List

LOG = logging.getLogger(__name__)
MAX_UNKNOWN_PERCENT = 5.0
_NUM_EXAMPLES = 5


class Coverage:
    """Counts the characters of texts, spaces left out, and those of them that no piece stands for.

    Args:
      what: whose texts they are, such as the name of a split.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._num_characters = self._num_texts = 0
        self._unknown: Counter[str] = collections.Counter()
        self._places: List[str] = []

    def add(self, name: str, text: str, outside: str) -> None:
        """Count a text, which `name` says where to find, and those of its characters that lie outside the pieces."""
        self._num_texts += 1
        self._num_characters += sum(map(len, text.split()))
        if outside:
            self._unknown.update(outside)
            self._places.append(name)

    @property
    def percent(self) -> float:
        """Characters without a piece, in percent; 0 if there is no text."""
        return 100.0 * self._unknown.total() / max(1, self._num_characters)

    def require(self, max_percent: float = MAX_UNKNOWN_PERCENT) -> None:
        """Raise ValueError if more than `max_percent` of the characters have no piece."""
        if self.percent > max_percent:
            raise ValueError(
                f"{self._found()}. That is more than the {max_percent:g} % which --max-unknown-percent allows: are "
                "these the pieces of another language, or of another case? Train the pieces on such texts, or correct "
                "the texts."
            )

    def report(self, max_percent: float = MAX_UNKNOWN_PERCENT, so: str = "They are taken for <unk>.") -> None:
        """Log what was found, if anything, and what follows from it, `so`. Raises as `require`."""
        self.require(max_percent)
        if self._unknown:
            LOG.warning("%s. %s", self._found(), so)

    def _found(self) -> str:
        examples = ", ".join(f"{char!r} ({count})" for char, count in self._unknown.most_common(_NUM_EXAMPLES))
        return (
            f"{self._what}: {self._unknown.total()} of {self._num_characters} characters ({self.percent:.2f} %), in "
            f"{len(self._places)} of {self._num_texts} texts, have no piece: {examples}; such as in {self._places[0]}"
        )
