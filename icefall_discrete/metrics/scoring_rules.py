"""What is done to reference and hypothesis alike before they are compared, where a corpus has rules for that."""

import dataclasses
from typing import Sequence, Tuple

from icefall_discrete.base.settings import setting
from icefall_discrete.metrics.wer import Transcript


@dataclasses.dataclass(frozen=True)
class ScoringRules:
    """A corpus's rules, from its conf/scoring.json; the default changes nothing. Applied in the order of the fields."""

    source: str = setting("", "where the rules are written down")
    upper_case: bool = setting(False, "compare without regard to case")
    separators: str = setting("", "characters at which a word is divided, such as the hyphen")
    unscored_words: Tuple[str, ...] = setting((), "words that are left out, such as fillers and tags")

    def words(self, words: Sequence[str]) -> Tuple[str, ...]:
        """The words that are scored."""
        kept = []
        for word in words:
            word = word.upper() if self.upper_case else word
            for separator in self.separators:
                word = word.replace(separator, " ")
            kept += [part for part in word.split() if part not in self.unscored_words]
        return tuple(kept)

    def scored(self, transcript: Transcript) -> Transcript:
        """The transcript with only what is scored."""
        return Transcript(transcript.cut_id, self.words(transcript.ref), self.words(transcript.hyp))
