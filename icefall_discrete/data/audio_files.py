"""Whether the audio that something was made from is still the same.

Beside what is made lies a record, a line of JSON for each file of a recording:

    {"file": "<recording id>:<number of the source>", "size": 81234, "changed": [mtime, ctime], "digest": "9f.."}

Times are nanoseconds; a file whose size and times are those of the record is not read again. Where a file lies does not
matter, and one that cannot be read says nothing.
"""

import gzip
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple, Optional, Tuple

from lhotse.cut import Cut

from icefall_discrete.base.atomic_files import PathLike, replacing
from icefall_discrete.base.disk_tables import DiskTable
from icefall_discrete.data.cuts import original_id

_BLOCK_BYTES = 1 << 20
_DIGEST_BYTES = 16


class _Known(NamedTuple):
    size: int
    changed: Tuple[int, ...]
    digest: str


class _Record(DiskTable):
    """What a record knows of files, by name: on the disk, since there may be millions."""

    def __init__(self) -> None:
        columns = "(name TEXT PRIMARY KEY, size INTEGER, modified INTEGER, created INTEGER, digest TEXT) WITHOUT ROWID"
        super().__init__("the list of audio files", f"known {columns}", "paths (path BLOB PRIMARY KEY) WITHOUT ROWID")
        self.is_empty = True

    def get(self, name: str) -> Optional[_Known]:
        """What is known of a file."""
        row = self._rows.execute("SELECT size, modified, created, digest FROM known WHERE name = ?", (name,)).fetchone()
        return _Known(row[0], (row[1], row[2]), row[3]) if row else None

    def add(self, name: str, known: _Known) -> None:
        """Note a file, in place of what was known."""
        row = (name, known.size, *known.changed, known.digest)
        self._rows.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?)", row)
        self.is_empty = False

    def files_of(self, cuts: Iterable[Cut]) -> Iterator[Tuple[str, str]]:
        """Name and path of each file, each once."""
        for cut in cuts:
            for number, source in enumerate(cut.recording.sources if cut.has_recording else ()):
                if source.type != "file":
                    continue
                path = str(source.source)
                if self._rows.execute("INSERT OR IGNORE INTO paths VALUES (?)", (os.fsencode(path),)).rowcount:
                    # A copy at another speed is of the same file.
                    yield f"{original_id(cut, cut.recording.id)}:{number}", path

    def read(self, path: Path) -> None:
        """Add what a file says, if it is there. Raises ValueError for a damaged one."""
        try:
            with gzip.open(path, "rt", encoding="utf-8") as stream:
                for line in stream:
                    one = json.loads(line)
                    modified, created = one["changed"]
                    self.add(one["file"], _Known(one["size"], (modified, created), one["digest"]))
        except FileNotFoundError:
            pass
        except (EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
            raise ValueError(
                f"{path} is damaged ({error}), so that it does not say which audio was read; move it aside, if the "
                "audio is still the same, and rerun."
            ) from None

    def write(self, path: Path) -> None:
        """Write what is known, by name."""
        with (
            replacing(path) as temporary,
            open(temporary, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream,
        ):
            for name, size, *changed, digest in self._rows.execute("SELECT * FROM known ORDER BY name"):
                one = {"file": name, "size": size, "changed": changed, "digest": digest}
                stream.write(json.dumps(one, ensure_ascii=False).encode() + b"\n")


def _now(path: str, before: Optional[_Known]) -> Optional[_Known]:
    """What a file is now; None if it cannot be read."""
    try:
        status = os.stat(path)
        seen = (status.st_size, (status.st_mtime_ns, status.st_ctime_ns))
        if before is not None and (before.size, before.changed) == seen:
            return before
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(_BLOCK_BYTES), b""):
                digest.update(block)
    except OSError:
        return None
    return _Known(*seen, digest.hexdigest())


def require_same_audio(record: PathLike, cuts: Iterable[Cut], made: str, advice: str) -> None:
    """Raise ValueError if a file of the record is another one now; name it.

    Args:
      record: of what was read; none: nothing is known. cuts: whose audio counts. made: what was made of it, such as
        "data/train.codes was extracted". advice: what to do, the end of the sentence.
    """
    with _Record() as known:
        known.read(Path(record))
        seen_anew = False
        for name, path in () if known.is_empty else known.files_of(cuts):
            before = known.get(name)
            now = _now(path, before) if before is not None else None
            if before is None or now is None or now == before:
                continue
            if now.digest != before.digest:
                raise ValueError(f"{made} from another {path} than there is now; put that file back, or {advice}.")
            known.add(name, now)
            seen_anew = True
        if seen_anew:
            known.write(Path(record))


def note_audio(record: PathLike, cuts: Iterable[Cut]) -> None:
    """Note the files of cuts that are about to be read, those that can be."""
    with _Record() as known:
        known.read(Path(record))
        is_new = False
        for name, path in known.files_of(cuts):
            before = known.get(name)
            now = _now(path, before)
            if now is not None and now != before:
                known.add(name, now)
                is_new = True
        if is_new:
            known.write(Path(record))


def join_records(record: PathLike, others: Iterable[PathLike]) -> None:
    """Write one record of several, of parts of the same whole."""
    with _Record() as joined:
        for other in others:
            joined.read(Path(other))
        if not joined.is_empty:
            joined.write(Path(record))
