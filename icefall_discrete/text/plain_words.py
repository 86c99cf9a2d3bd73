"""From a written text to plain words, by one short rule for all languages: digits spelled out, letters and ' kept.

Corpora that are defined by their counts use it: change it and they are others. For what languages write inside words,
and the many forms of numbers, see `spoken_words.py` and `english_numbers.py`.
"""

import re
import unicodedata
from typing import Match

from icefall_discrete.text.number_names import NumberWithoutName, name_of
from icefall_discrete.text.spoken_words import has_digits

_DIGITS = re.compile(r"[0-9]+")
_MOST_DIGITS = 1000  # more than any number with a name has; Python reads no number of more than 4300


def spell_digits(text: str, language: str) -> str:
    """Return `text` with its runs of digits 0 to 9 spelled out in `language`, set off by spaces.

    Those of numbers that have no name stay. Raises UnknownNumbers, a ValueError, as `name_of` does.
    """

    def spelled(found: Match[str]) -> str:
        digits = found.group()
        if len(digits) > _MOST_DIGITS:
            return digits
        try:
            return f" {name_of(int(digits), language).replace('-', ' ')} "
        except NumberWithoutName:
            return digits

    return _DIGITS.sub(spelled, text)


def plain_words(text: str, language: str) -> str:
    """Return `text` in lower-case words of letters, marks and apostrophes; empty if there are none.

    Runs of digits are spelled out in `language`; a text with others (fractions, digits of other scripts, of numbers
    without a name) does not say its words, and is empty. Everything else is a space.
    """
    text = spell_digits(text, language)
    if has_digits(text):
        return ""
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    kept = (char if char == "'" or unicodedata.category(char)[0] in "LM" else " " for char in text)
    return " ".join("".join(kept).split())
