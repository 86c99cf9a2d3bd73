#!/usr/bin/env python3
"""Refuse copied code and settings: count the lines that lie in a block of 10 or more which already stands elsewhere.

Usage: tools/check_clones.py [folder ...]; without arguments, the whole repository. Prints each copied block and the
share of removable lines, and exits with 1 if that share is 1 % or more. Blank lines and comments are not counted. Of
recipes, sizes and feature types below a conf/ a setting is a line, in whatever order: as many that another file has
with the same values, and most of its own, are a block, which `based_on` (recipes, feature types) or defaults (sizes)
would take away.
"""

import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Set, Tuple

BLOCK_LINES = 10
MAX_SHARE = 0.01
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


def settings_of(value: Any, name: str = "") -> Iterator[str]:
    """The settings of a JSON file, as `name.of.it=value`."""
    if not isinstance(value, dict):
        yield f"{name}={json.dumps(value)}"
    else:
        for key, inner in value.items():
            yield from settings_of(inner, f"{name}.{key}")


def find_settings_clones(sources: Dict[Path, str]) -> Tuple[List[str], int, int]:
    """Find the JSON files most of whose settings, and at least `BLOCK_LINES`, stand in an earlier one too.

    Systems that are trained alike agree in some settings by chance; a file that says mostly what another one says is to
    be based on it.

    Returns:
      a sentence for each, removable settings, all settings.
    """
    seen: Dict[Path, Set[str]] = {}
    found, removable, total = [], 0, 0
    for path, source in sources.items():
        own = set(settings_of(json.loads(source)))
        total += len(own)
        repeated = max(((len(own & other), str(place)) for place, other in seen.items()), default=(0, ""))
        if repeated[0] >= BLOCK_LINES and 2 * repeated[0] > len(own):
            found.append(f"{path}: {repeated[0]} of its {len(own)} settings stand already in {repeated[1]}")
            removable += repeated[0]
        seen[path] = own
    return found, removable, total


def main(arguments: List[str]) -> int:
    """Check the Python, shell and settings files under `arguments`; return the exit status."""
    repository = Path(__file__).resolve().parent.parent
    roots = [Path(argument) for argument in arguments] or [repository / folder for folder in FOLDERS]
    paths = sorted({path for root in roots for path in root.rglob("*") if not _is_hidden(path, root)})
    code = {path: path.read_text(encoding="utf-8") for path in paths if path.suffix in (".py", ".sh")}
    settings = {path: path.read_text(encoding="utf-8") for path in paths if _holds_settings(path)}
    clones, removable, total = find_clones(code)
    repeated, removable_settings, all_settings = find_settings_clones(settings)
    for clone in clones:
        print(f"{clone.path}:{clone.first}-{clone.last}: stands already at {clone.original}")
    for sentence in repeated:
        print(sentence)
    removable, total = removable + removable_settings, total + all_settings
    share = removable / total if total else 0.0
    print(
        f"{removable} of {total} lines of code and settings are removable: {share:.1%} (must be under {MAX_SHARE:.0%})"
    )
    return 1 if share >= MAX_SHARE or repeated else 0


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _holds_settings(path: Path) -> bool:
    """Whether it is a size, a recipe or a feature type."""
    return path.suffix == ".json" and path.parent.parent.name == "conf"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
