"""What the markers of stages say, which tools/stages.sh writes: with which settings a stage was begun or done."""

import difflib
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

_HEADER = "lines of settings follow"
DONE = "done"  # a stage that is not to be run
CHANGED = "to be run again, the settings changed"


def cksum(content: bytes) -> str:
    """What the program cksum prints of standard input: a CRC of 32 bits and the length (POSIX, cksum)."""
    crc = 0
    size = length = len(content)
    while length:
        content += bytes([length & 0xFF])
        length >>= 8
    for byte in content:
        crc = _CRCS[(crc >> 24) ^ byte] ^ ((crc << 8) & 0xFFFFFFFF)
    return f"{crc ^ 0xFFFFFFFF} {size}"


def _crc_of(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value


_CRCS = [_crc_of(byte) for byte in range(256)]


class Note(NamedTuple):
    """The lines of settings of a note, and whether it is of before, when notes had no first line of their own."""

    lines: List[str]
    is_old: bool


def read_note(path: str) -> Optional[Note]:
    """What a marker, or a note of what was begun, says; None if there is none, or it is empty or cut short."""
    file = Path(path)
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    if not text.endswith("\n"):
        return None
    header, *lines = text[:-1].split("\n")
    if not (header.startswith("# ") and header.endswith(f" {_HEADER}")):
        return Note([header, *lines], is_old=True)
    return Note(lines, is_old=False) if header == f"# {len(lines)} {_HEADER}" else None


class StageNotes:
    """Compares settings with what markers say; `old_words`: by line of settings, how those of before said the same."""

    def __init__(self, old_words: Mapping[str, str]) -> None:
        self._old_words: Dict[str, str] = dict(old_words)

    def _changes(self, note: Note, settings: str) -> List[str]:
        lines = settings.split("\n")
        if note.is_old and note.lines != lines:
            lines = [self._old_words.get(line, line) for line in lines]
        told = [line for line in difflib.ndiff(note.lines, lines) if line[:2] in ("- ", "+ ")]
        return [("was " if line[0] == "-" else "is  ") + line[2:] for line in told]

    def changes(self, marker: str, settings: str) -> List[str]:
        """`was ...` and `is ...` where a stage was begun or done with other settings; empty: the same, or never."""
        found = (read_note(path) for path in (marker, f"{marker}.begun"))
        note = next((one for one in found if one is not None), None)
        return [] if note is None else self._changes(note, settings)

    def state(self, marker: str, settings: str, outputs: Sequence[str]) -> Tuple[str, List[str]]:
        """What becomes of a stage when it is its turn, in words, and what differs from the last time."""
        changed = self.changes(marker, settings)
        if changed:
            return CHANGED, changed
        if read_note(marker) is None:
            begun = read_note(f"{marker}.begun") is not None
            return "to be run, from where it stopped" if begun else "to be run", []
        missing = [path for path in outputs if not Path(path).exists()]
        if missing:
            return f"to be run again, {missing[0]} does not exist", []
        return DONE, []
