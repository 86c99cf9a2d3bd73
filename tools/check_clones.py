#!/usr/bin/env python3
"""Refuse copied code: count the code lines that lie in a block of 10 or more which already stands elsewhere.

Usage: tools/check_clones.py [folder ...]; without arguments, the whole repository. Prints each copied block and the
share of removable lines, and exits with 1 if that share is 3 % or more. Blank lines and comments are not counted.
"""

import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Set, Tuple

BLOCK_LINES = 10
MAX_SHARE = 0.03
FOLDERS = ("icefall_discrete", "local", "egs", "tools", "test")


class CodeLine(NamedTuple):
    """One code line: its number in the file (from 1) and its text without indentation."""

    number: int
    text: str


class Clone(NamedTuple):
    """A copied block: where it starts and ends (inclusive), and where its first lines stand already."""

    path: Path
    first: int
    last: int
    original: str


def code_lines(source: str) -> List[CodeLine]:
    """The lines of a file that are neither blank nor comments."""
    stripped = ((number, line.strip()) for number, line in enumerate(source.splitlines(), start=1))
    return [CodeLine(number, text) for number, text in stripped if text and not text.startswith("#")]


def find_clones(sources: Dict[Path, str]) -> Tuple[List[Clone], int, int]:
    """Find the blocks of `BLOCK_LINES` code lines that stand in an earlier file, or earlier in the same one.

    Args:
      sources: text of each file, in the order in which they count as earlier.
    Returns:
      clones, removable code lines, all code lines.
    """
    first_place: Dict[Tuple[str, ...], Tuple[Path, int, int]] = {}
    clones: List[Clone] = []
    removable = total = 0
    for path, source in sources.items():
        lines = code_lines(source)
        total += len(lines)
        copied: Dict[int, str] = {}
        for start in range(len(lines) - BLOCK_LINES + 1):
            block = tuple(line.text for line in lines[start : start + BLOCK_LINES])
            origin, position, number = first_place.setdefault(block, (path, start, lines[start].number))
            if origin != path or start - position >= BLOCK_LINES:
                for index in range(start, start + BLOCK_LINES):
                    copied.setdefault(index, f"{origin}:{number}")
        removable += len(copied)
        clones += _merge(path, lines, copied)
    return clones, removable, total


def _merge(path: Path, lines: List[CodeLine], copied: Dict[int, str]) -> List[Clone]:
    starts = [index for index in sorted(copied) if index - 1 not in copied]
    clones = []
    for start in starts:
        end = start
        while end + 1 in copied:
            end += 1
        clones.append(Clone(path, lines[start].number, lines[end].number, copied[start]))
    return clones


def main(arguments: List[str]) -> int:
    """Check the Python and shell files under `arguments`; return the exit status."""
    repository = Path(__file__).resolve().parent.parent
    roots = [Path(argument) for argument in arguments] or [repository / folder for folder in FOLDERS]
    paths: Set[Path] = {
        path
        for root in roots
        for path in root.rglob("*")
        if path.suffix in (".py", ".sh") and not any(part.startswith(".") for part in path.relative_to(root).parts)
    }
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(paths)}
    clones, removable, total = find_clones(sources)
    for clone in clones:
        print(f"{clone.path}:{clone.first}-{clone.last}: stands already at {clone.original}")
    share = removable / total if total else 0.0
    print(f"{removable} of {total} code lines are removable: {share:.1%} (must be under {MAX_SHARE:.0%})")
    return 1 if share >= MAX_SHARE else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
