"""The lines of a manifest as plain values, what is refused before lhotse makes cuts of them, and cuts as such values.

lhotse looks at no types, and reads from whatever a manifest names: a command, an address, an array that is a pickle.
Manifests may come from elsewhere, so that every line is checked here, whatever reads it afterwards.
"""

import dataclasses
import functools
import gzip
import re
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple, TypeVar

from lhotse import MonoCut, MultiCut, Recording
from lhotse.cut import Cut
from lhotse.serialization import deserialize_item

from icefall_discrete.audio.sources import refusal
from icefall_discrete.base.addresses import at_hand
from icefall_discrete.base.json_files import json_name, parse_json
from icefall_discrete.base.shapes import (
    COUNT,
    COUNTS,
    FROM_0,
    ID,
    NAME,
    NUMBER,
    OBJECT,
    OBJECTS,
    POSITIVE,
    TEXT,
    WHOLE,
    or_null,
    require,
    shown,
)
from icefall_discrete.base.text_files import encoding_of, is_one_line
from icefall_discrete.data.code_archive import ArchiveKey, FlatArchiveReader

# A cut of an hour takes some hundred kilobytes; a small gzip could unpack to a line of any length.
MAX_LINE = 2**24
CUT_TYPES = ("MonoCut", "MultiCut", "MixedCut", "Cut")
# Ways in which arrays are stored that are data on this machine; lhotse knows others that unpickle, run or fetch.
STORED = (
    *(FlatArchiveReader.name, "lilcom_chunky", "lilcom_files", "lilcom_hdf5", "chunked_lilcom_hdf5", "numpy_files"),
    *("numpy_hdf5", "memory_lilcom", "memory_npy", "shar"),
)
Line = Dict[str, Any]
_LEAVES = {str, float, int, bool, type(None)}
_NESTED = {dict, list}
T = TypeVar("T")
LINES = (".jsonl", ".jsonl.gz")
_ADVICE = "mend or fetch the file, or, if a stage wrote it, run that stage again"


_PARTS = {"recording": or_null(OBJECT), "supervisions": or_null(OBJECTS), "custom": or_null(OBJECT)}
_CUT = {"id": ID, "start": FROM_0, "duration": POSITIVE, **_PARTS}
_MIXED = {"id": ID, "tracks": OBJECTS}
_RECORDING = {"id": NAME, "sources": OBJECTS, "sampling_rate": COUNT, "num_samples": COUNT, "duration": POSITIVE}
_SAID = dict.fromkeys(("text", "language", "speaker", "gender"), or_null(TEXT))
_SUPERVISION = {
    "id": TEXT,
    "recording_id": TEXT,
    "start": NUMBER,
    "duration": NUMBER,
    "custom": or_null(OBJECT),
    **_SAID,
}
_TRACK = {"cut": OBJECT, "type": TEXT}
_ARRAY = {"storage_path": TEXT, "storage_key": TEXT, "shape": COUNTS}
_TEMPORAL = {"array": OBJECT, "temporal_dim": WHOLE, "frame_shift": POSITIVE, "start": NUMBER}


def _check_array(array: Line) -> None:
    """One in an archive of ours: its key and its shape say the same."""
    require(array, _ARRAY, "an array")
    key = ArchiveKey.parse(array["storage_key"])
    if array["shape"] != [key.num_frames, key.num_columns]:
        raise ValueError(f"an array has the key '{key}' and the shape {array['shape']}, expected one of them twice")


def _check_object(found: Line) -> None:
    """Refuse an object of a line that would be run, fetched or unpickled."""
    if "sources" in found:
        sources = found["sources"]
        for source in sources if isinstance(sources, list) else ():
            if not isinstance(source, dict):
                raise ValueError(f"a source is {json_name(source)}, expected an object")
            reason = refusal(source.get("type"), source.get("source"))
            if reason:
                raise ValueError(reason)
    if "storage_type" in found:
        kind = found["storage_type"]
        if kind not in STORED:
            raise ValueError(f"an array is stored as {shown(kind)}, expected one of {', '.join(STORED)}")
        if kind == FlatArchiveReader.name:
            _check_array(found)
    if "temporal_dim" in found or "array" in found:
        require(found, _TEMPORAL, "an array in time")


def _check_reach(line: Line) -> None:
    """Refuse what would be run, fetched or unpickled, wherever in a line it stands."""
    waiting: List[Any] = [line]
    while waiting:
        found = waiting.pop()
        if type(found) is dict:
            _check_object(found)
            found = found.values()
        waiting += [inner for inner in found if type(inner) in _NESTED]


def _check_cut(cut: Line) -> None:
    kind = cut.get("type")
    if kind not in CUT_TYPES:
        raise ValueError(f"its 'type' is {shown(kind)}, expected one of {', '.join(CUT_TYPES[:-1])}")
    if kind == "MixedCut":
        require(cut, _MIXED, "the cut")
        for track in cut["tracks"]:
            require(track, _TRACK, "a track")
            if track["type"] != "PaddingCut":
                _check_cut({**track["cut"], "type": track["type"]})
        return
    require(cut, _CUT, "the cut")
    if cut.get("recording") is not None:
        require(cut["recording"], _RECORDING, "its recording")
    for supervision in cut.get("supervisions") or ():
        require(supervision, _SUPERVISION, "a supervision")


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, UnicodeDecodeError):
        return f"it seems to be {encoding_of(error.object)}, not UTF-8"
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown:
        return f"it has a key '{unknown.group(1)}', which lhotse does not know"
    return " ".join(str(error).split()) or "lhotse makes no cut of it"


def cut_of(line: Line) -> Cut:
    """The cut of one line. Raises ValueError, a part of a sentence, for one that is none or reaches out of its data."""
    if not isinstance(line, dict):
        raise ValueError(f"it is {json_name(line)}, expected an object")
    if "type" not in line:
        raise ValueError(f"it is no cut: it has no 'type', but {', '.join(sorted(line)[:5]) or 'nothing'}")
    called = f"cut {line['id']}: " if isinstance(line.get("id"), str) and is_one_line(line["id"]) else ""
    try:
        _check_cut(line)
        _check_reach(line)
        return deserialize_item({key: value for key, value in line.items() if value is not None})
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{called}{_reason(error)}") from None


@functools.lru_cache(maxsize=64)
def _field_names(kind: type) -> Tuple[str, ...]:
    """Of a dataclass; none for any other class."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()


def _plain(value: Any) -> Any:
    kind: type = type(value)
    if kind in _LEAVES:
        return value
    if kind is dict:
        return {key: entry if type(entry) in _LEAVES else _plain(entry) for key, entry in value.items()}
    if kind is list or kind is tuple:
        return [entry if type(entry) in _LEAVES else _plain(entry) for entry in value]
    names = _field_names(kind)
    if not names:
        return value
    found = {}
    for name in names:
        entry = getattr(value, name)
        if entry is not None:
            found[name] = entry if type(entry) in _LEAVES else _plain(entry)
    if kind is Recording and value.transforms is not None:
        found["transforms"] = [step if isinstance(step, dict) else step.to_dict() for step in value.transforms]
    return found


def line_of(cut: Cut, left_out: Tuple[str, ...] = ()) -> Line:
    """The values of a cut's line: those of lhotse's `to_dict`, which copies each of them and takes eight times as long.

    They are not copies: what is changed in them changes the cut.

    Args:
      left_out: custom fields that are not to be in it.
    """
    if not isinstance(cut, (MonoCut, MultiCut)):
        return cut.to_dict()
    kind: type = type(cut)
    found = {}
    for name in _field_names(kind):
        entry = getattr(cut, name)
        if name == "custom" and left_out and entry is not None:
            entry = {key: value for key, value in entry.items() if key not in left_out} or None
        if entry is not None:
            found[name] = _plain(entry)
    found["type"] = kind.__name__
    return found


def read_lines(path: Path, advice: str = _ADVICE) -> Iterator[Cut]:
    """The cuts of a manifest (.jsonl or .jsonl.gz); see `read_values`."""
    return read_values(path, cut_of, advice)


def read_values(path: Path, make: Callable[[Any], T], advice: str = _ADVICE) -> Iterator[T]:
    """What `make` makes of each line of a file of JSON lines (.jsonl or .jsonl.gz); blank lines count for nothing.

    Args:
      path: the file, or its address.
      make: of a line's value; raises ValueError, a part of a sentence, for one that is wrong.
      advice: the end of the sentence for a line that is wrong: what to do.
    Raises:
      FileNotFoundError: if it is missing. ValueError: if it is truncated or damaged, or a line is wrong; the line
        and the cut are named.
    """
    if not path.name.endswith(LINES):
        advice = f"expected a file of JSON lines, {' or '.join(LINES)}; give another one"
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0  # of the last line that was read whole
    try:
        with at_hand(path) as copy, opener(copy, "rt", encoding="utf-8-sig") as stream:
            while line := stream.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise ValueError(f"it is longer than {MAX_LINE} characters")
                if line.strip():
                    yield make(parse_json(line.rstrip()))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist; run the stage that makes it first: 1 makes manifests of cuts, 3 those of codes."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged after line {number} ({_reason(error)}); {advice}.") from None
    except ValueError as error:
        what = str(error).replace(", line 1, column", ", column")
        raise ValueError(f"{path}: line {number}{' ' if what.startswith('is ') else ': '}{what}; {advice}.") from None
