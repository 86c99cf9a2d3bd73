"""The text rules of GigaSpeech: what its tags mean (section 'Text Pre-Processing' of the corpus's README).

What is not scored is another matter: conf/scoring.json.
"""

import re

_PUNCTUATION = re.compile(r"<(COMMA|PERIOD|QUESTIONMARK|EXCLAMATIONPOINT)>")
_NO_SPEECH = re.compile(r"<(SIL|MUSIC|NOISE|OTHER)>")


def is_speech(text: str) -> bool:
    """Whether an utterance is speech: the corpus marks others with <SIL>, <MUSIC>, <NOISE> or <OTHER>."""
    return _NO_SPEECH.search(text) is None


def normalize(text: str) -> str:
    """The words of a transcript, without tags of punctuation."""
    return " ".join(_PUNCTUATION.sub(" ", text).split())
