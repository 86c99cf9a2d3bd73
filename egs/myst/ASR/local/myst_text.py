"""The text rules of this corpus: what of a transcript is spoken words, and how good a transcript is."""

import re
import unicodedata
from pathlib import Path
from typing import Dict

from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.metrics.wer import count_errors
from icefall_discrete.text.english_numbers import has_unclear_number, spell_numbers

# <NO_SIGNAL>, <SIDE_SPEECH>, [noise], {laugh}, (*) for what could not be understood, +um+ for a filled pause
_MARKED = re.compile(r"<[^>]*>|\[[^\]]*\]|\{[^}]*\}|\([^()]*\)|\+[^+\s]*\+")


def _without_marks(transcript: str) -> str:
    text = transcript.replace("’", "'").replace("‘", "'").replace("&", " and ")
    while _MARKED.search(text):  # parentheses may hold others
        text = _MARKED.sub(" ", text)
    return text


def is_unclear(transcript: str) -> bool:
    """Whether a transcript has a number in digits that does not tell the words that were said, such as "9/11"."""
    return has_unclear_number(_without_marks(transcript))


def normalize(transcript: str) -> str:
    """Lower-case words of letters and apostrophes; empty if nothing of the transcript is a word.

    Marks of noise, unintelligible speech and filled pauses are dropped, numbers are spelled out, `&` is "and"; a word
    that was cut off ("wh-") keeps the letters that were said, and letters keep their accents.
    """
    text = _without_marks(transcript)
    text = unicodedata.normalize("NFC", spell_numbers(text)).lower()
    kept = "".join(char if char == "'" or unicodedata.category(char)[0] in "LM" else " " for char in text)
    words = (word.strip("'") for word in kept.split())
    return " ".join(word for word in words if word)


def read_hypotheses(path: str) -> Dict[str, str]:
    """Text by utterance id, from lines `id<tab>text` that any recogniser may have written.

    Raises:
      CorpusError: for a line without a tab, naming it; FileNotFoundError if there is no such file.
    """
    hypotheses = {}
    for number, line in numbered_lines(Path(path)):
        name, tab, text = line.partition("\t")
        if not tab:
            raise CorpusError(f"{path}, line {number}: expected an utterance id, a tab and a text.")
        hypotheses[name] = text
    return hypotheses


def word_error_rate(transcript: str, hypothesis: str) -> float:
    """Word error rate in percent of a recogniser's text against a transcript of at least one word."""
    return count_errors(transcript.split(), normalize(hypothesis).split()).rate
