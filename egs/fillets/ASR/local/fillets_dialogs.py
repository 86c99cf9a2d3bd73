"""The dialogues of the game: where they lie in a fetched language, and what their scripts say, read as data.

<language>/texts/<level>.lua           pairs of dialogId("<id>", "<font>", "<English>") and dialogStr("<text>")
<language>/sounds/<level>/<id>.ogg     what is said: Ogg Vorbis, 22.05 or 44.1 kHz, one or two channels
<language>/md5sums                     "<md5>  <path below the language's folder>"; written last
"""

import re
from typing import Dict, Iterator, List, NamedTuple, Tuple

from icefall_discrete.data.manifests import CorpusError

LANGUAGES = ("cs", "nl")

_TOKEN = re.compile(
    rb"""(?P<skipped>\s+|--\[(?P<level>=*)\[.*?\](?P=level)\]|--(?!\[=*\[)[^\r\n]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>[(),;])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:(?P<decimal>[0-9]{1,3})|(?P<char>.))", re.DOTALL)
_CONTROLS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_STATEMENTS = {b"dialogId": 3, b"dialogStr": 1}  # and the number of their arguments
_SHOWN = 60


class Dialog(NamedTuple):
    """One line of a dialogue: its id in its level, the font of its subtitle, which says who speaks, and its texts."""

    id: str
    font: str
    english: str
    text: str


def _unescaped(found: "re.Match[bytes]") -> bytes:
    if found["decimal"] is None:
        return _CONTROLS.get(found["char"], found["char"])
    if int(found["decimal"]) > 255:
        raise ValueError(f"the escape {found[0].decode()} is no byte")
    return bytes([int(found["decimal"])])


def string_value(literal: bytes) -> str:
    r"""Return what a string of Lua 5.1, in quotes, stands for; its escapes are bytes of UTF-8, such as \195\161.

    Raises:
      ValueError: if it has an escape that is no byte, or its bytes are no UTF-8.
    """
    try:
        return _ESCAPE.sub(_unescaped, literal[1:-1]).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("a string is not in UTF-8") from None


def _tokens(content: bytes) -> Iterator[Tuple[int, str, bytes]]:
    """Line, kind (name, string, mark) and text of each token; ValueError, with line, for what is none."""
    place, line = 0, 1
    while place < len(content):
        found = _TOKEN.match(content, place)
        if found is None:
            raise ValueError(f"line {line}: {_excerpt(content[place:])} is no part of a dialogue")
        if found["skipped"] is None:
            yield line, str(found.lastgroup), found[0]
        place, line = found.end(), line + found[0].count(b"\n")


def _excerpt(content: bytes) -> str:
    return repr(content.split(b"\n", 1)[0][:_SHOWN].decode("utf-8", errors="replace"))


def _statements(content: bytes) -> Iterator[Tuple[int, str, List[str]]]:
    """Line, name and arguments of each call of `dialogId` or `dialogStr`; ValueError, with line, for anything else."""
    tokens = [token for token in _tokens(content) if token[2] != b";"]
    place = 0
    while place < len(tokens):
        line, _, name = tokens[place]
        num_strings = _STATEMENTS.get(name, 1)
        call = tokens[place : place + 2 * num_strings + 2]
        shape = [text if kind == "mark" else kind.encode() for _, kind, text in call[1:]]
        if name not in _STATEMENTS or shape != [b"(", *[b"string", b","] * (num_strings - 1), b"string", b")"]:
            raise ValueError(
                f"line {line}: {_excerpt(b' '.join(text for _, _, text in call))} is neither "
                'dialogId("id", "font", "English") nor dialogStr("text")'
            )
        try:
            yield line, name.decode(), [string_value(text) for _, kind, text in call if kind == "string"]
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        place += len(call)


def parse_dialogs(content: bytes, where: str) -> Tuple[List[Dialog], int]:
    """Return the dialogues of a script, in order, and how many ids in it have no text.

    Args:
      content: the whole file. where: its name, for the error.
    Raises:
      CorpusError: for anything but comments, `dialogId` and `dialogStr`, a text without an id, or an id with two
        texts, with the line.
    """
    dialogs: Dict[str, Dialog] = {}
    waiting: List[str] = []
    without_text = 0
    try:
        for line, name, values in _statements(content.removeprefix(b"\xef\xbb\xbf")):
            if name == "dialogId":
                without_text += bool(waiting)
                waiting = values
                continue
            if not waiting:
                raise ValueError(f"line {line}: the text {values[0][:_SHOWN]!r} has no dialogId before it")
            dialog = Dialog(waiting[0], waiting[1], waiting[2], values[0])
            if dialogs.setdefault(dialog.id, dialog) != dialog:
                raise ValueError(f"line {line}: the dialogue {dialog.id!r} was there before with another text")
            waiting = []
    except ValueError as error:
        raise CorpusError(
            f"{where}, {error}; the file is damaged: move its language's folder aside and run stage 0 again."
        ) from None
    return list(dialogs.values()), without_text + bool(waiting)
