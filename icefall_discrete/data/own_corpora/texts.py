"""From written texts to those that are learnt, by the rules that text/ has for languages; what is left out, and why."""

import dataclasses
import re
from typing import NamedTuple

from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import is_one_line
from icefall_discrete.text.english_numbers import has_unclear_number, spell_numbers
from icefall_discrete.text.number_names import UnknownNumbers
from icefall_discrete.text.plain_words import spell_digits
from icefall_discrete.text.spoken_words import has_digits, spoken_words
from icefall_discrete.text.words import plain_spaces

# <noise>, [laughter], {um}: marks of transcribers, which are no words.
_TAG = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}")
_ENGLISH = "en"


@dataclasses.dataclass(frozen=True)
class TextRules:
    """What of a written text is learnt."""

    text_rule: str = setting(
        "words",
        "words: lower case of the language, letters and what belongs inside words; written: case and punctuation kept",
        ("words", "written"),
    )
    numbers: str = setting(
        "drop",
        "texts with numbers in digits: drop the utterance, spell them in the language, or keep the digits",
        ("drop", "spell", "keep"),
    )
    tags: str = setting(
        "drop",
        "texts with <tags>, [tags] or {tags}: drop the utterance, remove the tags alone, or keep them as words",
        ("drop", "remove", "keep"),
    )


class Ruled(NamedTuple):
    """A text by the rules, and why its utterance is left out; empty: it is not."""

    text: str
    reason: str


def has_tags(written: str) -> bool:
    """Whether a text has marks of its transcribers."""
    return bool(_TAG.search(written))


def key_of(written: str, language: str) -> str:
    """What two texts have in common that say the same words: the normalised text."""
    return spoken_words(written, language) or plain_spaces(written)


def _spelled(text: str, language: str) -> Ruled:
    if language.replace("_", "-").split("-")[0].lower() == _ENGLISH:
        unclear = has_unclear_number(text)
        return Ruled(spell_numbers(text), "a number that may be said in several ways" if unclear else "")
    try:
        text = spell_digits(text, language)
    except UnknownNumbers:
        raise ValueError(
            f"num2words does not know the numbers of language '{language}'; give --numbers drop, or spell them out in "
            "the texts."
        ) from None
    return Ruled(text, "a number that may be said in several ways" if has_digits(text) else "")


def ruled(written: str, language: str, rules: TextRules) -> Ruled:
    """The text that is learnt of a written one.

    Raises:
      ValueError: if numbers are to be spelled in a language whose numbers nobody here knows.
    """
    if has_tags(written) and rules.tags != "keep":
        if rules.tags == "drop":
            return Ruled("", "tags, which are no words")
        written = _TAG.sub(" ", written)
    if rules.numbers != "keep" and has_digits(written):
        if rules.numbers == "drop":
            return Ruled("", "digits, whose words nobody wrote")
        written, reason = _spelled(written, language)
        if reason:
            return Ruled("", reason)
    text = plain_spaces(written)
    if rules.text_rule == "written" and not is_one_line(text):
        return Ruled("", "control characters, which nobody says")
    if rules.text_rule == "words":
        text = _words_with_digits(text, language) if rules.numbers == "keep" else spoken_words(text, language)
    return Ruled(text, "" if text else "no words")


def _words_with_digits(text: str, language: str) -> str:
    """The words of a text in which digits stay words."""
    parts = re.split(r"(\d+)", text)
    return plain_spaces(" ".join(part if part.isdigit() else spoken_words(part, language) for part in parts))
