"""Tables that may be larger than memory, in temporary files of SQLite's, which are gone when closed.

They lie below TMPDIR, or else in /var/tmp.
"""

import os
import sqlite3
from types import TracebackType
from typing import Iterator, Mapping, Optional, Type, TypeVar

Table = TypeVar("Table", bound="DiskTable")
# Where SQLite puts a file without a name, if no variable says where; not where Python's tempfile does.
_PLACES = ("/var/tmp", "/usr/tmp", "/tmp", ".")


def folder_of_tables() -> str:
    """The folder of the temporary files, https://sqlite.org/tempfiles.html, section 5."""
    named = [os.environ.get(name, "") for name in ("SQLITE_TMPDIR", "TMPDIR")]
    usable = (place for place in (*named, *_PLACES) if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK))
    return next(usable, ".")


class DiskTable:
    """A temporary database, for what its subclass keeps in it; as a context, it is closed behind it.

    Within the context an error of SQLite's is an OSError that says what cannot be kept, and where.
    Args:
      what: is kept, for that sentence. layout: of each table, as SQL has it behind CREATE TABLE.
    """

    def __init__(self, what: str, *layout: str) -> None:
        self._what = what
        self._rows = sqlite3.connect("")  # a file without a name
        self._rows.execute("PRAGMA journal_mode = OFF")
        for table in layout:
            self._rows.execute(f"CREATE TABLE {table}")

    def __enter__(self: Table) -> Table:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._rows.close()
        if isinstance(error, sqlite3.Error):
            raise self._no_room(error)

    def _no_room(self, error: sqlite3.Error) -> OSError:
        return OSError(f"{self._what} cannot be kept in {folder_of_tables()} ({error}); free space, or set TMPDIR.")


class NumbersByName(DiskTable, Mapping[str, float]):
    """A number for each of many names, exact, of which memory holds none."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "numbers (name TEXT PRIMARY KEY, number REAL) WITHOUT ROWID")
        self._count = 0

    def add(self, name: str, number: float = 0.0) -> bool:
        """Note a name, unless it is there; whether it was not. Raises OSError where there is no room."""
        try:
            added = self._rows.execute("INSERT OR IGNORE INTO numbers VALUES (?, ?)", (name, number)).rowcount
        except sqlite3.Error as error:
            raise self._no_room(error) from None
        self._count += added
        return bool(added)

    def __getitem__(self, name: str) -> float:
        row = self._rows.execute("SELECT number FROM numbers WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise KeyError(name)
        return row[0]

    def __iter__(self) -> Iterator[str]:
        return (name for (name,) in self._rows.execute("SELECT name FROM numbers ORDER BY name"))

    def __len__(self) -> int:
        return self._count


class LinesByName(DiskTable):
    """Lines that come in any order and are had in the order of their names, those of one name as they came."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "lines (name TEXT, line TEXT)")

    def add(self, name: str, line: str) -> None:
        """Note the next line."""
        self._rows.execute("INSERT INTO lines VALUES (?, ?)", (name, line))

    def __iter__(self) -> Iterator[str]:
        return (line for (line,) in self._rows.execute("SELECT line FROM lines ORDER BY name, rowid"))
