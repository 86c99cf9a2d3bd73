"""The text rules of this corpus: what of a transcript is spoken words, and how good a transcript is."""

import re
from typing import Dict

from num2words import num2words

from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.metrics.wer import count_errors

# <NO_SIGNAL>, <SIDE_SPEECH>, [noise], {laugh}, (*) for what could not be understood, +um+ for a filled pause
_MARKED = re.compile(r"<[^>]*>|\[[^\]]*\]|\{[^}]*\}|\([^()]*\)|\+[^+\s]*\+")
_DIGITS = re.compile(r"[0-9]+")
_NOT_SPOKEN = re.compile(r"[^a-z' ]+")


def normalize(transcript: str) -> str:
    """Lower-case words of letters and apostrophes; empty if nothing of the transcript is a word.

    Marks of noise, unintelligible speech and filled pauses are dropped, numbers are spelled out, `&` is "and"; a word
    that was cut off ("wh-") keeps the letters that were said.
    """
    text = transcript.replace("’", "'").replace("‘", "'").replace("&", " and ")
    while _MARKED.search(text):  # parentheses may hold others
        text = _MARKED.sub(" ", text)
    text = _DIGITS.sub(lambda digits: f" {num2words(int(digits.group()))} ", text).lower()
    words = (word.strip("'") for word in _NOT_SPOKEN.sub(" ", text).split())
    return " ".join(word for word in words if word)


def read_hypotheses(path: str) -> Dict[str, str]:
    """Text by utterance id, from lines `id<tab>text` that any recogniser may have written.

    Raises:
      CorpusError: for a line without a tab, naming it; FileNotFoundError if there is no such file.
    """
    hypotheses = {}
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            name, tab, text = line.rstrip("\n").partition("\t")
            if not tab:
                raise CorpusError(f"{path}, line {number}: expected an utterance id, a tab and a text.")
            hypotheses[name] = text
    return hypotheses


def word_error_rate(transcript: str, hypothesis: str) -> float:
    """Word error rate in percent of a recogniser's text against a transcript of at least one word."""
    return count_errors(transcript.split(), normalize(hypothesis).split()).rate
