"""What was heard in what was said, and in the recordings: files that scoring and pages read."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.numbers import number_of
from icefall_discrete.systems.prediction import rows_of_split


class Heard(NamedTuple):
    """What a recogniser heard in the recording of a cut, and in what was said of it."""

    cut_id: str
    original: str
    said: str


class HeardVoice(NamedTuple):
    """Whose voice was heard in the recording of a cut, and in what was said of it.

    own: the class of the recording; empty: not known. asked: the one that was to be heard. original, said: what a
    classifier heard; empty: there was none. similarity: of the two voices, a number; empty: no model compared them.
    """

    cut_id: str
    own: str = ""
    asked: str = ""
    original: str = ""
    said: str = ""
    similarity: str = ""

    def figures(self) -> Dict[str, Optional[float]]:
        """By the names of metrics/reconstruction.py; None where the recording's own class is not known."""
        found: Dict[str, Optional[float]] = {}
        if self.said:
            found["speaker_accuracy"] = 100.0 * (self.said == self.asked)
            found["speaker_accuracy_original"] = 100.0 * (self.original == self.own) if self.own else None
        if self.similarity:
            found["speaker_similarity"] = float(self.similarity)
        return found


def write_heard(path: PathLike, lines: Sequence[Heard]) -> None:
    """Write `<cut id><tab><of the recording><tab><of what was said>`, sorted by cut id."""
    _write(path, lines)


def write_heard_voices(path: PathLike, lines: Sequence[HeardVoice]) -> None:
    """Write the fields of each line, tabs between them, sorted by cut id."""
    _write(path, lines)


def _write(path: PathLike, lines: Sequence[Tuple[str, ...]]) -> None:
    write_text(path, "".join("\t".join(line) + "\n" for line in sorted(lines)))


def read_heard(path: PathLike) -> List[Heard]:
    """Read what `write_heard` wrote. Raises FileNotFoundError, or ValueError naming the line."""
    return [Heard(*parts) for parts in _rows(path, len(Heard._fields))]


def read_heard_voices(path: PathLike) -> List[HeardVoice]:
    """Read what `write_heard_voices` wrote. Raises FileNotFoundError, or ValueError naming the line."""
    lines = [HeardVoice(*parts) for parts in _rows(path, len(HeardVoice._fields))]
    for number, line in enumerate(lines, start=1):
        if line.similarity and number_of(line.similarity) is None:
            raise ValueError(f"{path}:{number}: a similarity of '{line.similarity}', expected a number; make it again.")
    return lines


def _rows(path: PathLike, num_columns: int) -> List[List[str]]:
    rows = []
    for number, parts in rows_of_split(path):
        if len(parts) != num_columns:
            raise ValueError(f"{path}:{number}: {len(parts)} columns, expected {num_columns}; make it again.")
        rows.append(parts)
    return rows
