"""Text files that people and other tools wrote: UTF-8 with or without a byte order mark, one line at a time."""

import codecs
import json
import unicodedata
from pathlib import Path
from typing import Any, Iterator, Tuple

_MARKS = (
    *((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32")),  # first: the others begin these
    *((codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16")),
)
# Tried in this order: the first two refuse most of what is not theirs, the last takes everything.
_GUESSES = (("gb18030", "GBK"), ("big5", "Big5"), ("latin-1", "Latin-1"))
_NOT_IN_LINES = ("Cc", "Cs", "Zl", "Zp")


class NotUtf8(ValueError):
    """A text file in another encoding than UTF-8; the message names file, line and the likely encoding."""


def encoding_of(data: bytes) -> str:
    """What the encoding of text that is not UTF-8 seems to be."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    if data.count(0) > len(data) // 8:
        return "UTF-16"
    for codec, name in _GUESSES:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            continue
        # Letters of Europe among ASCII are read as rare Chinese characters with the ASCII letter behind them.
        letters = [char for char in text if char.isalpha()]
        common = sum("\u4e00" <= char <= "\u9fa5" for char in letters)
        if name == "Latin-1" or 2 * common > len(letters):
            return name
    return "an unknown encoding"


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Raises:
      NotUtf8: if it is in another encoding. FileNotFoundError, other OSErrors: if it cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        found = encoding_of(data)
    else:
        if "\0" not in text:
            return text
        number, found = text.count("\n", 0, text.index("\0")) + 1, encoding_of(data)
        if not found.startswith("UTF"):
            raise NotUtf8(
                f"{path}: line {number} has the character NUL, which no text has; use a sound copy of the file."
            )
    raise NotUtf8(
        f"{path} is not in UTF-8 (line {number}): it seems to be {found}; convert it, for example with "
        f"iconv -f {found.upper().replace('LATIN-', 'LATIN')} -t UTF-8."
    )


def numbered_lines(path: Path) -> Iterator[Tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1; they end with a newline and no other
    character that Unicode counts as the end of a line, since such may stand in a text.

    Raises: as `read_text`.
    """
    yield from lines_in(read_text(path))


def is_one_line(text: str) -> bool:
    """Whether a text has no control character, end of a line or undecodable byte, so that it may be part of a line."""
    # What is printable has no such character, and asking that takes a twentieth of the time.
    return text.isprintable() or not any(unicodedata.category(char) in _NOT_IN_LINES for char in text)


def json_in(value: Any, encoding: str) -> str:
    """`value` as JSON on one line, with escapes for letters if `encoding` lacks one of them."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value)
    return text if len(text.splitlines()) == 1 else json.dumps(value)


def shown_name(name: str, encoding: str = "utf-8") -> str:
    """The name of a file as it is printed: as a JSON string if it would break a line or cannot be printed as it is."""
    is_plain = not name.startswith('"') and is_one_line(name)
    try:
        name.encode(encoding)
    except UnicodeEncodeError:
        is_plain = False
    return name if is_plain else json_in(name, encoding)


def lines_in(text: str) -> Iterator[Tuple[int, str]]:
    """The lines of a text, as `numbered_lines` gives them."""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if line.strip():
            yield number, line
