"""From written sentences to the words that are spoken, in any script: case, punctuation and typography are taken off.

A word stays one: what is written inside it (the point of Catalan col·lecció, joiners of Sinhala and Persian, geresh
and gershayim of Hebrew) stays, what is only typography (soft hyphens, tatweel, marks of direction, full width) goes.
Hyphens divide words. Numbers in digits have no words here: `has_digits` tells which sentences to leave out, or to spell
out first.
"""

import re
import unicodedata
from typing import Callable, Dict

# Anything that is typed for an apostrophe; the modifier letter U+02BC among them, which is the apostrophe of Ukrainian.
_APOSTROPHES = "’ʼ‘`´‛′՚"
_LETTER = "[^\\W\\d_]"
_HEBREW = "[\u05d0-\u05f2]"
_POINTED = f"(?<={_HEBREW[:-1]}\u0591-\u05c7])"
_SPACE = "\u200b"  # of no width, between words of scripts that are written without
_JOINED = "[\u0590-\u1cff\ua800-\uabff]"
_JOINERS = "\u200c\u200d\u180e"
# Full and half width, presentation forms: each is another shape of the characters that it is folded to.
_SHAPES = re.compile("[\ufb00-\ufdff\ufe70-\ufefc\uff00-\uffef]+")
# Written over or behind letters, and not pronounced: tatweel and what is like it in N'Ko and Mongolian, stress and tone
# of Armenian, variants of glyphs.
_UNSPOKEN = re.compile("[\u0640\u07fa\u180a\u055b\u055c\u055e\u055f\u034f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# What is kept inside words, or behind them, stands in the private use area until all else has become a space.
_KEPT: Dict[str, str] = {
    "'": "\ue000",
    "·": "\ue001",
    "״": "\ue002",
    "׳": "\ue003",
    ":": "\ue004",
    "\u200c": "\ue005",
    "\u200d": "\ue006",
    "\u180e": "\ue007",
}
# A quotation mark before a word, and so another behind one; 'l and 'il of Maltese are words that lost their beginning.
_OPENING = re.compile(f"(?<![^\\W_])[{_APOSTROPHES}'‚](?!i?l\\b){_LETTER}")
_GIVEN_BACK = str.maketrans({place: char for char, place in _KEPT.items()})
_TURKIC = ("tr", "az", "crh", "gag")
_OKINA = ("haw", "to", "sm", "ty", "rap", "rar")  # an apostrophe is a consonant of its own, U+02BB
_COLON_INSIDE = ("fi", "sv")  # EU:n, S:t
# An apostrophe at the end of a word is a letter, most often a stop of the voice; in the Finnic ones it softens another.
_MAYAN = "acr|agu|caa|cac|cak|chf|ctu|hus|itz|ixl|jac|kek|kjb|knj|mam|mop|poc|poh|quc|toj|ttc|tzh|tzj|tzo|usp|yua"
_APOSTROPHE_AT_END = re.compile(f"mt|so|nv|ch|zai|krl|olo|vep|vot|vro|{_MAYAN}")
# Letters and whole words that Unicode has among signs: four of Burmese, "and" and "in" of Sindhi, letters of tone.
_SPOKEN_SIGNS = "\u104c\u104d\u104e\u104f\u06fd\u06fe\ua789\ua78a"
_CLICKS = {"//": "ǁ", "||": "ǁ", "‖": "ǁ", "/": "ǀ", "|": "ǀ", "!": "ǃ", "≠": "ǂ"}  # of Khoekhoe, as they are typed


def has_digits(sentence: str) -> bool:
    """Whether a sentence has numbers in digits of any script, fractions or Roman numerals that are no letters."""
    return any(unicodedata.category(char)[0] == "N" and char != "〇" for char in sentence)


def _lower(text: str, language: str) -> str:
    """Lower case as Unicode's SpecialCasing has it for the language."""
    if language in _TURKIC:
        text = text.replace("İ", "i").replace("I", "ı")
    if language == "lt":  # the dot of i stays below other accents
        accents = {"Ì": "i\u0307\u0300", "Í": "i\u0307\u0301", "Ĩ": "i\u0307\u0303"}
        text = "".join(accents.get(char, char) for char in text)
        text = re.sub("([IJĮ])(?=[\u0300-\u0314])", lambda found: found.group().lower() + "\u0307", text)
    return text.lower()


def _without_typography(text: str) -> str:
    """One shape of each character, and none that is not seen or heard."""
    text = _SHAPES.sub(lambda shapes: unicodedata.normalize("NFKC", shapes.group()), text)
    text = _UNSPOKEN.sub("", text).replace("ŀ", "l·").replace("Ŀ", "L·").replace(_SPACE, " ")
    kept = (char for char in text if char in _JOINERS or unicodedata.category(char) not in ("Cf", "Co"))
    return unicodedata.normalize("NFC", "".join(kept))


def _kept(char: str) -> Callable[["re.Match[str]"], str]:
    return lambda found: _KEPT[char or found.group()]


def _with_inner_signs(text: str, language: str) -> str:
    """The text, in lower case, with what belongs to its words in places of the private use area."""
    text = re.sub("(?<=l)[·•‧∙⋅](?=l)|(?<=[ns])·(?=h)", _kept("·"), text)
    text = re.sub(f'{_POINTED}(״|["”“](?={_HEBREW}+(?!\\S*["”“])))(?={_HEBREW})', _kept("״"), text)
    text = re.sub(f"{_POINTED}׳", _kept("׳"), text)
    if language in _COLON_INSIDE:
        text = re.sub(f"(?<={_LETTER}):(?={_LETTER})", _kept(":"), text)
    # Latin, Cyrillic and Greek have no joiners but those of type setters.
    text = re.sub(f"(?<={_JOINED})[{_JOINERS}](?={_JOINED})", _kept(""), text)
    text = re.sub(f"[{_JOINERS}]", "", text)
    if language in _OKINA:
        text = re.sub(f"[{_APOSTROPHES}'](?={_LETTER})", "ʻ", text)
    if language in ("uz", "kaa"):  # the letters o' and g', which may end a word
        text = re.sub(f"(?<=[og])[{_APOSTROPHES}'ʻ]", _kept("'"), text)
    if language == "naq":
        text = re.sub(rf"(?://|\|\||[‖/|!≠])(?={_LETTER})", lambda found: _CLICKS[found.group()], text)
    if language == "ha":  # the letter 'y
        text = re.sub(f"(?<!{_LETTER})[{_APOSTROPHES}'](?=y)", _kept("'"), text)
    if _APOSTROPHE_AT_END.fullmatch(language) and not _OPENING.search(text):
        text = re.sub(f"(?<={_LETTER}|[\u0300-\u036f])[{_APOSTROPHES}'](?!{_LETTER})", _kept("'"), text)
    if "‚" not in text:  # behind a letter neither of these is a quotation mark, unless it closes ‚this‘
        text = re.sub(f"(?<={_LETTER})[‘ʼ](?!{_LETTER})", _kept("'"), text)
    return text


def spoken_words(sentence: str, language: str = "") -> str:
    """NFC, lower case; letters, marks and what belongs inside words are kept, everything else is a space.

    Apostrophes of all kinds become ', and those at the ends of words go, as they may be quotation marks; but not in
    languages where they are letters, unless a sentence has a quotation mark at the beginning of a word too.

    Args:
      language: its code, as "tr" or "zh-TW"; some languages have letters, or a lower case, of their own.
    """
    base = language.replace("_", "-").split("-")[0].lower()
    text = _without_typography(unicodedata.normalize("NFC", sentence))
    text = _with_inner_signs(_lower(text, base), base)
    for apostrophe in _APOSTROPHES:
        text = text.replace(apostrophe, "'")
    heard = (*_GIVEN_BACK, *map(ord, f"'〇{_SPOKEN_SIGNS}"))
    kept = (char if ord(char) in heard or unicodedata.category(char)[0] in "LM" else " " for char in text)
    words = (word.strip("'").translate(_GIVEN_BACK) for word in "".join(kept).split())
    return unicodedata.normalize("NFC", " ".join(filter(_has_letter, words)))


def _has_letter(word: str) -> bool:
    return any(unicodedata.category(char)[0] == "L" or char in f"〇{_SPOKEN_SIGNS}" for char in word)
