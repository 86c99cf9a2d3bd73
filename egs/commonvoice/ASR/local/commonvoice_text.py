"""The text rules of this corpus: what of a written sentence is spoken words.

They hold for any language written with letters; a language with rules of its own (numbers, abbreviations) needs more.
"""

import unicodedata

MIN_WRITTEN_WORDS = 3
RULES = ("words", "written")

_APOSTROPHES = "’ʼ‘`´"


def words_only(sentence: str) -> str:
    """NFC, lower case; letters, marks and apostrophes inside words are kept, everything else is a space."""
    text = unicodedata.normalize("NFC", sentence).lower()
    for apostrophe in _APOSTROPHES:
        text = text.replace(apostrophe, "'")
    kept = "".join(char if char == "'" or unicodedata.category(char)[0] in "LM" else " " for char in text)
    return " ".join(word for word in (part.strip("'") for part in kept.split()) if word)


def as_written(sentence: str) -> str:
    """The sentence with its case and punctuation, as the benchmark DASB keeps it; empty if it has under three words.

    SpeechBrain's benchmarks/DASB, common_voice_prepare.py: no rule for Welsh and Basque, spaces collapsed.
    """
    words = sentence.split()
    return " ".join(words) if len(words) >= MIN_WRITTEN_WORDS else ""


def normalize(sentence: str, rule: str) -> str:
    """The text of a sentence by the rule of that name (one of RULES); empty if the utterance is to be left out."""
    return {"words": words_only, "written": as_written}[rule](sentence)
