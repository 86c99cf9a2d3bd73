"""What counts as a word: what spaces divide; and a Chinese character by itself, since Chinese is written without them.

So that the word error rate of Chinese is its character error rate, as is the custom, and that lexicons and language
models of words work for it. Other scripts without spaces (Thai, Japanese kana) are scored by their characters only.
"""

import re
from typing import List

# CJK unified ideographs with extension A, the compatibility block, and the supplementary planes.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
# How sentencepiece writes the space before a word, at the beginning of a piece.
WORD_START = "\u2581"
_WORD = re.compile(f"[{_HAN}]|[^\\s{_HAN}]+")


def words_in(text: str) -> List[str]:
    """The words of a text, in order."""
    return _WORD.findall(text)
