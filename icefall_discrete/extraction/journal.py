"""A journal: what has been done, line by line, so that a killed job continues where it was.

The first line is the header: everything the result depends on (base/provenance.py). A line counts once its newline is
on the disk; a torn last line is dropped. The file is locked, so that two jobs cannot write the same output.
"""

import array
import contextlib
import fcntl
import itertools
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple, Union

from icefall_discrete.base.provenance import Provenance

Record = Dict[str, Any]


def _whole_lines(stream: BinaryIO) -> Iterator[Tuple[Record, int]]:
    """What the lines say, and where each ends, up to the first that is torn."""
    end = 0
    for line in stream:
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
        except ValueError:  # a crash of the machine may leave a block of zeros
            break
        end += len(line)
        yield record, end


class Journal:
    """An append-only list of JSON records behind a header. Iterating reads them from the disk.

    Raises:
      ValueError: if the file on disk was begun with another header; the keys that differ are named.
      RuntimeError: if another process holds it.
      OSError: if it cannot be written.
    """

    def __init__(self, path: Union[str, Path], header: Record) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._open(json.loads(json.dumps(header)))
        except BaseException:
            self.close()
            raise

    def _open(self, header: Record) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another process is writing {self._path}; wait for it or end it, then rerun.") from None
        self._ends = array.array("Q")  # of the header and of each record
        with open(self._path, "rb") as stream:
            for record, end in _whole_lines(stream):
                if not self._ends:
                    begun = Provenance.from_json(record, str(self._path))
                    advice = "rerun with the same settings and inputs, or move it aside to start anew"
                    Provenance.from_json(header, "the header").require_same(begun, f"{self._path} was begun", advice)
                self._ends.append(end)
        os.ftruncate(self._descriptor, self._ends[-1] if self._ends else 0)
        if not self._ends:
            self._write([header])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[Record]:
        with open(self._path, "rb") as stream:
            lines = itertools.islice(stream, 1, len(self._ends))
            yield from map(json.loads, lines)

    def _write(self, records: List[Record]) -> None:
        position = self._ends[-1] if self._ends else 0
        ends = []
        for record in records:
            data = json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n"
            done = 0
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], position + done)
            position += len(data)
            ends.append(position)
        os.fsync(self._descriptor)
        self._ends.extend(ends)

    def append(self, records: List[Record]) -> None:
        """Add records and return when they are on the disk."""
        if records:
            self._write(records)

    def keep(self, count: int) -> None:
        """Forget all but the first `count` records."""
        del self._ends[count + 1 :]
        os.ftruncate(self._descriptor, self._ends[-1])
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close and unlock the file; harmless if done twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete the file: the job is done."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self.close()
