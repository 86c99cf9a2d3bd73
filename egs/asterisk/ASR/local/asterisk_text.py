"""The text rules of this corpus: transcript files, spoken form of a prompt, and the split of a prompt.

They define the corpus together with `prepare.py`: change one and the error rates are of another corpus.
"""

import hashlib
import logging
import re
import unicodedata
from typing import Dict

from num2words import num2words

from icefall_discrete.text.spoken_words import has_digits

LANGUAGES = ("en", "es", "fr", "it", "ru")
SPLITS = ("train", "dev", "test")

_BYTE_ORDER_MARK = "\ufeff"
_WHOLLY_BRACKETED = re.compile(r"\[[^\]]*\]")
_BRACKETED_SPAN = re.compile(r"\[[^\]]*\]|\([^)]*\)")
_DIGITS = re.compile(r"[0-9]+")


def parse_transcript(content: str, where: str) -> Dict[str, str]:
    """Return prompt id -> written text from a transcript file.

    Args:
      content: the whole file: lines `prompt-id: text`, comments after a leading `;`, maybe a byte order mark.
      where: name of the file, for the error.
    Raises:
      ValueError: on a line that is neither empty, a comment nor `prompt-id: text`.
    """
    texts: Dict[str, str] = {}
    twice = []
    for number, line in enumerate(content.lstrip(_BYTE_ORDER_MARK).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        prompt_id, colon, text = line.partition(":")
        if not colon:
            raise ValueError(
                f"{where}, line {number}: expected 'prompt-id: text', got {line[:60]!r}; the file is damaged, "
                "fetch it again with stage 0."
            )
        if texts.get(prompt_id.strip(), text.strip()) != text.strip():
            twice.append(prompt_id.strip())
        texts[prompt_id.strip()] = text.strip()
    if twice:
        logging.warning(f"{where}: {len(twice)} prompts have two texts, of which the last counts: {', '.join(twice)}")
    return texts


def _spell(digits: str, language: str) -> str:
    return " " + num2words(int(digits), lang=language).replace("-", " ") + " "


def normalize(text: str, language: str) -> str:
    """Return what is spoken, in lower-case words of letters and apostrophes; empty if nothing of `text` is.

    Stage directions in brackets or parentheses are dropped, digits are spelled out in `language`; a text with others
    (fractions, digits of other scripts) does not say its words, and is empty.
    """
    if _WHOLLY_BRACKETED.fullmatch(text.strip()):
        return ""
    text = _BRACKETED_SPAN.sub(" ", text)
    text = _DIGITS.sub(lambda match: _spell(match.group(), language), text)
    if has_digits(text):
        return ""
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    kept = (char if char == "'" or unicodedata.category(char)[0] in "LM" else " " for char in text)
    return " ".join("".join(kept).split())


def is_silence(prompt_id: str) -> bool:
    """Whether the prompt is one of the recorded pauses."""
    return prompt_id.startswith("silence/")


def utterance_id(language: str, prompt_id: str) -> str:
    """Return the id of a prompt's utterance, for example `en-digits_5`."""
    return f"{language}-{prompt_id.replace('/', '_')}"


def split_of(prompt_id: str) -> str:
    """Return the split of a prompt; the same in every language, so that no test sentence is trained in translation."""
    remainder = int(hashlib.md5(prompt_id.encode("utf-8")).hexdigest(), 16) % 10
    return {0: "test", 1: "dev"}.get(remainder, "train")
