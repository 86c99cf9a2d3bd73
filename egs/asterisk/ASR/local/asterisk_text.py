"""The text rules of this corpus: transcript files, and the spoken form of a prompt.

They define the corpus together with `prepare.py`: change one and the error rates are of another corpus.
"""

import logging
import re
from typing import Dict

from icefall_discrete.text.plain_words import plain_words

LANGUAGES = ("en", "es", "fr", "it", "ru")

_BYTE_ORDER_MARK = "\ufeff"
_WHOLLY_BRACKETED = re.compile(r"\[[^\]]*\]")
_BRACKETED_SPAN = re.compile(r"\[[^\]]*\]|\([^)]*\)")


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


def normalize(text: str, language: str) -> str:
    """Return what is spoken, in lower-case words of letters and apostrophes; empty if nothing of `text` is.

    Stage directions in brackets or parentheses are dropped; the rest is as `plain_words` has it.
    """
    if _WHOLLY_BRACKETED.fullmatch(text.strip()):
        return ""
    return plain_words(_BRACKETED_SPAN.sub(" ", text), language)


def is_silence(prompt_id: str) -> bool:
    """Whether the prompt is one of the recorded pauses."""
    return prompt_id.startswith("silence/")


def utterance_id(language: str, prompt_id: str) -> str:
    """Return the id of a prompt's utterance, for example `en-digits_5`."""
    return f"{language}-{prompt_id.replace('/', '_')}"
