"""What is done to reference and hypothesis alike before they are compared, where a corpus has rules for that."""

import dataclasses
from typing import Sequence, Tuple

from icefall_discrete.base.settings import setting
from icefall_discrete.metrics.wer import Transcript, normal_form


@dataclasses.dataclass(frozen=True)
class ScoringRules:
    """A corpus's rules, from its conf/scoring.json; the default changes no word. Applied in the order of the fields.

    Whatever the rules, words are compared in Unicode's normal form C (`normal_form`).
    """

    source: str = setting("", "where the rules are written down")
    upper_case: bool = setting(False, "compare without regard to case")
    separators: str = setting("", "characters at which a word is divided, such as the hyphen")
    unscored_words: Tuple[str, ...] = setting((), "words that are left out, such as fillers and tags")

    def __post_init__(self) -> None:
        for word in self.unscored_words:
            if not word or any(char.isspace() or char in self.separators for char in word):
                raise ValueError(
                    f"unscored_words has {word!r}, which is never a word: separators and spaces divide; list its parts."
                )

    def words(self, words: Sequence[str]) -> Tuple[str, ...]:
        """The words that are scored."""
        unscored = {word.upper() if self.upper_case else word for word in normal_form(self.unscored_words)}
        kept = []
        for word in normal_form(words):
            word = word.upper() if self.upper_case else word
            for separator in self.separators:
                word = word.replace(separator, " ")
            kept += [part for part in word.split() if part not in unscored]
        return tuple(kept)

    def scored(self, transcript: Transcript) -> Transcript:
        """The transcript with only what is scored."""
        return Transcript(transcript.cut_id, self.words(transcript.ref), self.words(transcript.hyp))
