"""From a written text to plain words, by one short rule for all languages: digits spelled out, letters and ' kept.

Corpora that are defined by their counts use it: change it and they are others. For what languages write inside words,
and the many forms of numbers, see `spoken_words.py` and `english_numbers.py`.
"""

import re
import unicodedata

from icefall_discrete.text.number_names import name_of
from icefall_discrete.text.spoken_words import has_digits

_DIGITS = re.compile(r"[0-9]+")


def spell_digits(text: str, language: str) -> str:
    """Return `text` with its runs of digits 0 to 9 spelled out in `language`, set off by spaces."""
    return _DIGITS.sub(lambda found: f" {name_of(int(found.group()), language).replace('-', ' ')} ", text)


def plain_words(text: str, language: str) -> str:
    """Return `text` in lower-case words of letters, marks and apostrophes; empty if there are none.

    Runs of digits are spelled out in `language`; a text with others (fractions, digits of other scripts) does not say
    its words, and is empty. Everything else is a space.
    """
    text = spell_digits(text, language)
    if has_digits(text):
        return ""
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    kept = (char if char == "'" or unicodedata.category(char)[0] in "LM" else " " for char in text)
    return " ".join("".join(kept).split())
