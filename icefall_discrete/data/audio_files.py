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
from typing import Dict, Iterable, Iterator, NamedTuple, Optional, Tuple

from lhotse.cut import Cut

from icefall_discrete.base.atomic_files import PathLike, write_bytes
from icefall_discrete.data.cuts import original_id

_BLOCK_BYTES = 1 << 20
_DIGEST_BYTES = 16


class _Known(NamedTuple):
    size: int
    changed: Tuple[int, ...]
    digest: str


def _files_of(cuts: Iterable[Cut]) -> Iterator[Tuple[str, str]]:
    """Name and path of each file, each once."""
    seen = set()
    for cut in cuts:
        for number, source in enumerate(cut.recording.sources if cut.has_recording else ()):
            path = str(source.source)
            if source.type == "file" and path not in seen:
                seen.add(path)
                # A copy at another speed is of the same file.
                name = original_id(cut, cut.recording.id)
                yield f"{name}:{number}", path


def _read(record: Path) -> Dict[str, _Known]:
    known: Dict[str, _Known] = {}
    try:
        with gzip.open(record, "rt", encoding="utf-8") as stream:
            for line in stream:
                one = json.loads(line)
                known[one["file"]] = _Known(one["size"], tuple(one["changed"]), one["digest"])
    except FileNotFoundError:
        return {}
    except (EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(
            f"{record} is damaged ({error}), so that it does not say which audio was read; move it aside, if the audio "
            "is still the same, and rerun."
        ) from None
    return known


def _write(record: Path, known: Dict[str, _Known]) -> None:
    lines = (
        json.dumps({"file": name, **one._asdict()}, ensure_ascii=False) + "\n" for name, one in sorted(known.items())
    )
    write_bytes(record, gzip.compress("".join(lines).encode(), mtime=0))


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
    known = _read(Path(record))
    seen_anew: Dict[str, _Known] = {}
    for name, path in _files_of(cuts) if known else ():
        before = known.get(name)
        now = _now(path, before) if before is not None else None
        if before is None or now is None or now == before:
            continue
        if now.digest != before.digest:
            raise ValueError(f"{made} from another {path} than there is now; put that file back, or {advice}.")
        seen_anew[name] = now
    if seen_anew:
        _write(Path(record), {**known, **seen_anew})


def note_audio(record: PathLike, cuts: Iterable[Cut]) -> None:
    """Note the files of cuts that are about to be read, those that can be."""
    known = _read(Path(record))
    noted = dict(known)
    for name, path in _files_of(cuts):
        now = _now(path, known.get(name))
        if now is not None:
            noted[name] = now
    if noted != known:
        _write(Path(record), noted)


def join_records(record: PathLike, others: Iterable[PathLike]) -> None:
    """Write one record of several, of parts of the same whole."""
    joined: Dict[str, _Known] = {}
    for other in others:
        joined.update(_read(Path(other)))
    if joined:
        _write(Path(record), joined)
