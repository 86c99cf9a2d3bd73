"""Cuts in any order, of which memory holds none: their lines in a temporary file, and where each begins."""

import array
import json
import os
import tempfile
from pathlib import Path
from typing import Iterable, Iterator, Protocol

import numpy as np
from lhotse.cut import Cut

from icefall_discrete.base.atomic_files import naming
from icefall_discrete.data.manifest_lines import cut_of, line_of


class NumberedCuts(Protocol):
    """Cuts that are had by their numbers, from 0, such as a list of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Cut: ...


class CutsOnDisk:
    """Cuts that are read whenever they are asked for, each by its number; eight bytes of memory each.

    Args:
      cuts: of a manifest, read once. The file lies below TMPDIR and is gone with this object.
    Raises:
      OSError: where there is no room for the file.
    """

    def __init__(self, cuts: Iterable[Cut]) -> None:
        self._starts = array.array("Q", [0])
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed when nobody has it any more
        place = Path(tempfile.gettempdir()) / "the cuts of a fit"
        for cut in cuts:
            line = json.dumps(line_of(cut)).encode("ascii")
            with naming(place):
                self._file.write(line)
            self._starts.append(self._starts[-1] + len(line))
        with naming(place):
            self._file.flush()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int, /) -> Cut:
        start, end = self._starts[number], self._starts[number + 1]
        return cut_of(json.loads(os.pread(self._file.fileno(), end - start, start)))


class Selected:
    """Some cuts of a sequence, in an order of their own.

    Args:
      cuts: the sequence. numbers: int64, of those that are meant, in order.
    """

    def __init__(self, cuts: NumberedCuts, numbers: np.ndarray) -> None:
        self._cuts, self._numbers = cuts, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int, /) -> Cut:
        return self._cuts[int(self._numbers[number])]

    def __iter__(self) -> Iterator[Cut]:
        return (self[number] for number in range(len(self)))
