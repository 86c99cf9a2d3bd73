"""What counts as a word: what spaces divide; and a Chinese character by itself, since Chinese is written without them.

So that the word error rate of Chinese is its character error rate, as is the custom, and that lexicons and language
models of words work for it. Other scripts without spaces (Thai, Japanese kana) are scored by their characters only.
"""

import re
import unicodedata
from typing import Iterable, List, Sequence

# CJK unified ideographs with extension A, the compatibility block, and the supplementary planes.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
# How sentencepiece writes the space before a word, at the beginning of a piece.
WORD_START = "\u2581"
_CHINESE = re.compile(f"[{_HAN}]")
# Chinese characters, kana, bopomofo, and their punctuation.
_SPACELESS = re.compile(f"[{_HAN}\u3001-\u30ff\u3100-\u312f\u31a0-\u31ff\uff01-\uff65\uff66-\uff9f]")
# Between words of Khmer, Thai and others a space of no width is a space; what a pieces' model writes there is one.
_WORD = re.compile(f"[{_HAN}]|[^\\s\u200b{_HAN}]+")


def plain_spaces(text: str) -> str:
    """The text with one space wherever there is white space of any kind (tabs, line ends, wide and fixed spaces)."""
    return " ".join(text.split())


def forms_of(text: str) -> List[str]:
    """The text as it is, and with letters and their marks together (NFC) and apart (NFD), each form once.

    They look alike; which one a file has depends on the system that it was written on.

    >>> [len(form) for form in forms_of("\u00e9")]
    [1, 2]
    """
    return list(dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))))


def words_in(text: str) -> List[str]:
    """The words of a text, in order."""
    return _WORD.findall(text)


def text_of_words(words: Sequence[str]) -> str:
    """The text that `words_in` found these words in, as far as they tell.

    Beside Chinese characters no space is put, as hardly anybody writes one there: that of "买 iphone" is lost.
    """
    return "".join(after if _joins(before, after) else f" {after}" for before, after in zip(["", *words], words))


def _joins(before: str, after: str) -> bool:
    return not before or bool(_CHINESE.fullmatch(before[-1]) or _CHINESE.fullmatch(after[0]))


def joined_texts(texts: Iterable[str]) -> str:
    """Texts one after the other, with a space between them unless both sides are written without spaces."""
    joined = ""
    for text in filter(None, texts):
        both = joined and _SPACELESS.fullmatch(joined[-1]) and _SPACELESS.fullmatch(text[0])
        joined += text if both or not joined else f" {text}"
    return joined
