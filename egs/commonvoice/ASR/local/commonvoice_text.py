"""The text rules of this corpus: what of a written sentence is spoken words.

They hold for any language written with letters. Sentences with digits are left out: their words depend on the reader.
"""

from icefall_discrete.text.spoken_words import has_digits, spoken_words

MIN_WRITTEN_WORDS = 3
RULES = ("words", "written")


def words_only(sentence: str, language: str = "") -> str:
    """The words that are spoken (text/spoken_words.py); empty for a sentence with digits, whose words nobody wrote."""
    return "" if has_digits(sentence) else spoken_words(sentence, language)


def as_written(sentence: str) -> str:
    """The sentence with its case and punctuation, as the benchmark DASB keeps it; empty if it has under three words.

    SpeechBrain's benchmarks/DASB, common_voice_prepare.py: no rule for Welsh and Basque, spaces collapsed.
    """
    words = sentence.split()
    return " ".join(words) if len(words) >= MIN_WRITTEN_WORDS else ""


def normalize(sentence: str, rule: str, language: str = "") -> str:
    """The text of a sentence by the rule of that name (one of RULES); empty if the utterance is to be left out."""
    return words_only(sentence, language) if rule == "words" else as_written(sentence)
