"""The lines of a manifest as plain values, and what is refused before lhotse makes cuts of them.

lhotse looks at no types, and reads from whatever a manifest names: a command, an address, an array that is a pickle.
Manifests may come from elsewhere, so that every line is checked here, whatever reads it afterwards.
"""

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple

from lhotse.cut import Cut
from lhotse.serialization import deserialize_item

from icefall_discrete.audio.sources import refusal
from icefall_discrete.base.json_files import json_name, parse_json
from icefall_discrete.base.text_files import is_one_line

# A cut of an hour takes some hundred kilobytes; a small gzip could unpack to a line of any length.
MAX_LINE = 2**24
CUT_TYPES = ("MonoCut", "MultiCut", "MixedCut", "Cut")
# Ways in which arrays are stored that are data on this machine; lhotse knows others that unpickle, run or fetch.
STORED = (
    *("flat_archive", "lilcom_chunky", "lilcom_files", "lilcom_hdf5", "chunked_lilcom_hdf5", "numpy_files"),
    *("numpy_hdf5", "memory_lilcom", "memory_npy", "shar"),
)
Line = Dict[str, Any]
_SHOWN = 60
_ADVICE = "mend or fetch the file, or, if a stage wrote it, run that stage again"


class _Kind(NamedTuple):
    """What a value must be, in words, and whether it is."""

    name: str
    fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_TEXT = _Kind("text", lambda value: isinstance(value, str))
_NAME = _Kind("text that is not empty", lambda value: isinstance(value, str) and bool(value))
# Ids stand in lines of tables and transcripts.
_ID = _Kind(
    "text that is not empty, without tabs, ends of lines and control characters",
    lambda value: isinstance(value, str) and bool(value.strip()) and is_one_line(value),
)
_NUMBER = _Kind("a number", _is_number)
_FROM_0 = _Kind("a number from 0", lambda value: _is_number(value) and value >= 0)
_POSITIVE = _Kind("a number above 0", lambda value: _is_number(value) and value > 0)
_COUNT = _Kind("a whole number above 0", _is_count)
_OBJECT = _Kind("an object", lambda value: isinstance(value, dict))
_OBJECTS = _Kind(
    "a list of objects", lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value)
)

_CUT = {"id": _ID, "start": _FROM_0, "duration": _POSITIVE}
_MIXED = {"id": _ID, "tracks": _OBJECTS}
_RECORDING = {"id": _NAME, "sources": _OBJECTS, "sampling_rate": _COUNT, "num_samples": _COUNT, "duration": _POSITIVE}
_SUPERVISION = {"id": _TEXT, "recording_id": _TEXT, "start": _NUMBER, "duration": _NUMBER}
_TEXTS = dict.fromkeys(("text", "language", "speaker", "gender"), _TEXT)  # or null


def _require(values: Line, kinds: Dict[str, _Kind], what: str) -> None:
    for key, kind in kinds.items():
        if key not in values:
            raise ValueError(f"{what} has no '{key}', expected {kind.name}")
        if not kind.fits(values[key]):
            raise ValueError(f"'{key}' of {what} is {_shown(values[key])}, expected {kind.name}")


def _require_if_there(values: Line, kinds: Dict[str, _Kind], what: str) -> None:
    _require(values, {key: kind for key, kind in kinds.items() if values.get(key) is not None}, what)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    text = text if is_one_line(text) else json.dumps(value)
    return text if len(text) <= _SHOWN else json_name(value)


def _objects_in(value: Any) -> Iterator[Line]:
    """Every object in a JSON value, that itself among them."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _check_reach(line: Line) -> None:
    """Refuse what would be run, fetched or unpickled, wherever in a line it stands."""
    for found in _objects_in(line):
        sources = found.get("sources")
        for source in sources if isinstance(sources, list) else ():
            if not isinstance(source, dict):
                raise ValueError(f"a source is {json_name(source)}, expected an object")
            reason = refusal(source.get("type"), source.get("source"))
            if reason:
                raise ValueError(reason)
        if "storage_type" in found and found["storage_type"] not in STORED:
            raise ValueError(
                f"an array is stored as {_shown(found['storage_type'])}, expected one of {', '.join(STORED)}"
            )


def _check_cut(cut: Line) -> None:
    kind = cut.get("type")
    if kind not in CUT_TYPES:
        raise ValueError(f"its 'type' is {_shown(kind)}, expected one of {', '.join(CUT_TYPES[:-1])}")
    if kind == "MixedCut":
        _require(cut, _MIXED, "the cut")
        for track in cut["tracks"]:
            _require(track, {"cut": _OBJECT, "type": _TEXT}, "a track")
            if track["type"] != "PaddingCut":
                _check_cut({**track["cut"], "type": track["type"]})
        return
    _require(cut, _CUT, "the cut")
    _require_if_there(cut, {"recording": _OBJECT, "supervisions": _OBJECTS, "custom": _OBJECT}, "the cut")
    if cut.get("recording") is not None:
        _require(cut["recording"], _RECORDING, "its recording")
    for supervision in cut.get("supervisions") or ():
        _require(supervision, _SUPERVISION, "a supervision")
        _require_if_there(supervision, _TEXTS, "a supervision")
        _require_if_there(supervision, {"custom": _OBJECT}, "a supervision")


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
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
        return deserialize_item(line)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{called}{_reason(error)}") from None


def read_lines(path: Path, advice: str = _ADVICE) -> Iterator[Cut]:
    """The cuts of a manifest (.jsonl or .jsonl.gz); blank lines count for nothing.

    Args:
      advice: the end of the sentence for a line that is wrong: what to do.
    Raises:
      FileNotFoundError: if it is missing. ValueError: if it is truncated or damaged, or a line holds no cut; the line
        and the cut are named.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0  # of the last line that was read whole
    try:
        with opener(path, "rt", encoding="utf-8-sig") as stream:
            while line := stream.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise ValueError(f"it is longer than {MAX_LINE} characters")
                if line.strip():
                    yield cut_of(parse_json(line.rstrip()))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; run the stage that makes it first.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged after line {number} ({_reason(error)}); {advice}.") from None
    except ValueError as error:
        what = str(error).replace(", line 1, column", ", column")
        raise ValueError(f"{path}: line {number}{' ' if what.startswith('is ') else ': '}{what}; {advice}.") from None
