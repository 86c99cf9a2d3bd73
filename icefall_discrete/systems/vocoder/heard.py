"""What a recogniser heard in what was said, and in the recordings: a file that scoring and pages read."""

from typing import List, NamedTuple, Sequence

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.systems.prediction import rows_of_split


class Heard(NamedTuple):
    """What a recogniser heard in the recording of a cut, and in what was said of it."""

    cut_id: str
    original: str
    said: str


def write_heard(path: PathLike, lines: Sequence[Heard]) -> None:
    """Write `<cut id><tab><of the recording><tab><of what was said>`, sorted by cut id."""
    write_text(path, "".join("\t".join(line) + "\n" for line in sorted(lines)))


def read_heard(path: PathLike) -> List[Heard]:
    """Read what `write_heard` wrote. Raises FileNotFoundError, or ValueError naming the line."""
    lines = []
    for number, parts in rows_of_split(path):
        if len(parts) != len(Heard._fields):
            raise ValueError(f"{path}:{number}: {len(parts)} columns, expected {len(Heard._fields)}; make it again.")
        lines.append(Heard(*parts))
    return lines
