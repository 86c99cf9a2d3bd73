"""English numbers as they are spoken: "1,000" is "one thousand", "3.5" "three point five", "the 2nd" "the second".

num2words knows the names of numbers; here it is found what kind of number a text means.
"""

import functools
import re
import unicodedata
from typing import Callable, List, Match, Optional, Tuple

from icefall_discrete.text.number_names import name_of

_LARGEST_DIGITS = 66  # more are said one by one; num2words has names up to about 10^300
_SCALES = "thousand|million|billion|trillion"
_SHORT_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "tn": "trillion"}
_MONEY = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}
_PLURALS = {"penny": "pence", "half": "halves"}
_PARTS = (*range(2, 11), 12, 16, 20, 100)
_DIGITS = r"\d+(?:,\d{3})+(?!\d)|\d+"
_NOT_INSIDE = r"(?<![\d.,])"
_FRACTION = rf"(?<![\d/.,])(?:({_DIGITS})(?:\s{{1,2}}|-\s?))?(\d{{1,3}})\s?[/⁄]\s?(\d{{1,3}})(?![\d/]|\.\d)"


def _in_words(digits: str, kind: str = "cardinal") -> str:
    plain = digits.replace(",", "")
    if len(plain) > _LARGEST_DIGITS:
        return _one_by_one(plain)
    return name_of(int(plain), kind=kind).replace("-", " ").replace(",", "")


def _in_words_with_zeros(digits: str) -> str:
    """A number that begins with a zero is a name or a code, and said by its digits: "007"."""
    return _one_by_one(digits.replace(",", "")) if digits[0] == "0" and len(digits) > 1 else _in_words(digits)


def _one_by_one(digits: str) -> str:
    return " ".join(_in_words(digit) for digit in digits)


def _plural(words: str) -> str:
    first, _, last = words.rpartition(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith("y"):
        last = f"{last[:-1]}ies"
    else:
        last += "es" if last.endswith("x") else "s"
    return f"{first} {last}".strip()


def _counted(number: str, unit: str) -> str:
    return f"{_in_words(number)} {unit if int(number.replace(',', '')) == 1 else _plural(unit)}"


def _money(found: Match[str]) -> str:
    sign, whole, cents, scale, short_scale = found.groups()
    main, part = _MONEY[sign]
    if cents and (scale or short_scale or len(cents) != 2):
        amount = f"{_in_words(whole)} " if whole else ""
        amount += f"point {_one_by_one(cents)}"
    elif cents is None:
        amount = _in_words(whole)
    if scale or short_scale:
        return f"{amount} {(scale or _SHORT_SCALES[short_scale.lower()]).lower()} {_plural(main)}"
    if cents is None:
        return _counted(whole, main)
    if len(cents) != 2:
        return f"{amount} {_plural(main)}"
    is_whole = whole is not None and (int(whole.replace(",", "")) or not int(cents))
    said = [_counted(whole, main)] if is_whole else []
    return " and ".join([*said, *([_counted(cents, part)] if int(cents) else [])])


def _time(found: Match[str]) -> str:
    hour, minute = found.groups()
    if minute == "00":
        return f"{_in_words(hour)} o'clock"
    return f"{_in_words(hour)} {'oh ' if minute.startswith('0') else ''}{_in_words(minute)}"


def _is_fraction(whole: Optional[str], above: int, below: int) -> bool:
    """Whether two numbers with a slash between them are a part of something, and no date, score or name ("9/11")."""
    return 0 < above < below and (bool(whole) or below in _PARTS)


def _fraction(found: Match[str]) -> str:
    whole, top, bottom = found.groups()
    above, below = int(top), int(bottom)
    if not _is_fraction(whole, above, below):
        said = f"{_in_words(top)} {_in_words(bottom)}"
    else:
        name = {2: "half", 4: "quarter"}.get(below) or _in_words(bottom, "ordinal")
        said = f"{_in_words(top)} {name if above == 1 else _plural(name)}"
    return f"{_in_words(whole)} and {said}" if whole else said


def _decade(found: Match[str]) -> str:
    digits = found.group(1)
    if digits in ("100", "1000"):
        return "hundreds" if digits == "100" else "thousands"
    is_year = len(digits) == 4 and digits.endswith("0")
    return _plural(_in_words(digits, "year" if is_year else "cardinal"))


def _decimal(found: Match[str]) -> str:
    whole, fraction = found.groups()
    return f"{_in_words_with_zeros(whole) if whole else ''} point {_one_by_one(fraction)}"


# In this order: what is longer comes before what it holds.
_RULES: Tuple[Tuple[str, Callable[[Match[str]], str]], ...] = (
    (rf"([$£€])\s?(?=\.?\d)({_DIGITS})?(?:\.(\d+))?(?:\s?({_SCALES})\b|({'|'.join(_SHORT_SCALES)})\b)?", _money),
    (rf"{_NOT_INSIDE}({_DIGITS})\s?¢", lambda found: _counted(found.group(1), "cent")),
    (rf"{_NOT_INSIDE}({_DIGITS})(?:st|nd|rd|th)\b", lambda found: _in_words(found.group(1), "ordinal")),
    (r"(?<![\d:.,])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])", _time),
    (_FRACTION, _fraction),
    (r"(?<![\w.,])['’]?(\d{1,4})['’]?s\b", _decade),
    (rf"(?:(?<![\d.])({_DIGITS})|(?<![\w.]))\.(\d+)(?!\.?\d)", _decimal),
    (_DIGITS, lambda found: _in_words_with_zeros(found.group())),
)
_COMPILED: List[Tuple["re.Pattern[str]", Callable[[Match[str]], str]]] = [
    (re.compile(pattern, re.IGNORECASE | re.ASCII), rule) for pattern, rule in _RULES
]
_MINUS = re.compile(r"(?:(?<=\s)|^)[-−–](?=[.\d$£€]| \d+⁄)")
_SIGN_BEHIND = re.compile(rf"{_NOT_INSIDE}({_DIGITS}(?:\.\d+)?)\s?([£€$])(?!\s?\.?\d)", re.ASCII)
_HAS_NUMBER = re.compile(r"\d")
# Thousands set apart by a space: a wide one joins always, a plain one where a group is no number of its own, as "000".
_GROUPED = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}(?:(?:[\xa0\u2009\u202f]\d{3})+|(?:['’]\d{3})+|(?: \d{3})*(?: 0\d\d)(?: \d{3})*)(?!,?\d)",
    re.ASCII,
)
_MAYBE_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?: \d{3})+(?![\d,/⁄])", re.ASCII)
_SLASHED = re.compile(r"\d\s?[/⁄]\s?\d", re.ASCII)


def _plain_digits(char: str) -> str:
    """Digits of other kinds as ASCII, and one sign for a fraction as several: "½" is " 1/2"."""
    if char.isascii() or not char.isnumeric():
        return char
    decomposed = unicodedata.normalize("NFKC", char)
    if "⁄" in decomposed:
        return f" {decomposed}"
    return str(unicodedata.digit(char)) if unicodedata.category(char) == "Nd" else char


def _in_plain_digits(text: str) -> str:
    text = "".join(map(_plain_digits, text))
    return _GROUPED.sub(lambda found: re.sub(r"[\s'’]", ",", found.group()), text)


def has_unclear_number(text: str) -> bool:
    """Whether a number of the text may be said in several ways, or in one that is not known here.

    Dates and whatever else has a slash and is no fraction ("9/11"), "2 100", money of other kinds, "m²", "Ⅳ". What
    `spell_numbers` makes of them is a guess.
    """
    text = _in_plain_digits(text)
    kinds = {unicodedata.category(char) for char in _HAS_NUMBER.sub("", text) if char not in _MONEY and char != "¢"}
    if kinds & {"No", "Nl"} or ("Sc" in kinds and _HAS_NUMBER.search(text)):
        return True
    rest = re.sub(_FRACTION, lambda found: "" if _is_clear(found) else found.group(), text)
    return bool(_SLASHED.search(rest) or _MAYBE_GROUPED.search(rest))


def _is_clear(fraction: Match[str]) -> bool:
    whole, top, bottom = fraction.groups()
    return _is_fraction(whole, int(top), int(bottom)) or (top, bottom) == ("24", "7")


def spell_numbers(text: str) -> str:
    """The text with its numbers in words, which are set off by spaces; without numbers it is as it was.

    Cardinals, decimals, ordinals, fractions, times of day, money, percent, degrees, decades and what is below zero.

    >>> spell_numbers("1,000 volts at 3:30 on the 2nd")
    ' one thousand  volts at  three thirty  on the  second '
    """
    text = _in_plain_digits(text)
    if not _HAS_NUMBER.search(text):
        return text
    text = _SIGN_BEHIND.sub(r"\2\1", _MINUS.sub("minus ", text))
    text = re.sub(r"(?<=\d)\s?%", " percent ", text)
    text = re.sub(r"(?<=\d)\s?°\s?(?:([CF])\b)?", _degrees, text)
    for pattern, rule in _COMPILED:
        text = pattern.sub(functools.partial(_set_off, rule), text)
    return text


def _set_off(rule: Callable[[Match[str]], str], found: Match[str]) -> str:
    return f" {rule(found)} "


def _degrees(found: Match[str]) -> str:
    scale = {"C": " celsius", "F": " fahrenheit", None: ""}[found.group(1)]
    return f" degrees{scale} "
