"""JSON files: read with one sentence for each mistake, and written whole."""

import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Union

from icefall_discrete.base.atomic_files import write_text

JSON_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
# What no file of ours comes near; whoever walks through a value, or reckons with a number, is then safe.
_MAX_DEPTH, _MAX_WHOLE = 64, 2**64
# Without an exponent or twenty digits in a row, a number is finite and below that; with digits made alike, both are
# found in an eighth of the time that a pattern takes.
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SUSPICIOUS = (b"0e", b"0" * 20, b"NaN", b"Infinity")
_ADVICE = "correct it there, or, if a stage wrote the file, run that stage again"


def json_name(value: Any) -> str:
    """What JSON calls the type of a value, for messages: "a list", "a number", "null" ..."""
    return "null" if value is None else JSON_NAMES.get(type(value), type(value).__name__)


def as_json(value: Any) -> str:
    """A value as JSON has it, for messages: true, null, [1, 2]; text in single quotes, so that it stands out."""
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = dict(pairs)
    if len(found) == len(pairs):
        return found
    found.clear()
    for key, value in pairs:
        if key in found and found[key] != value:
            raise ValueError(f"'{key}' stands twice in one object, as {as_json(found[key])} and as {as_json(value)}")
        found[key] = value
    return found


def _numbers(value: Any, key: str = "", depth: int = 0) -> Iterator[Tuple[str, Union[int, float]]]:
    """The numbers in a JSON value, with the dotted names of where they stand."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, (int, float)):
        yield key, value
    elif isinstance(value, (dict, list)):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(inner, f"{key}.{name}" if key else str(name), depth + 1)


def _wrong_number(number: Union[int, float]) -> str:
    """What is wrong with a number, in words; empty if nothing is."""
    if isinstance(number, float):
        return "" if math.isfinite(number) else f"{number}, expected a finite number"
    return "" if abs(number) < _MAX_WHOLE else f"a number of {number.bit_length()} bits, expected one below 2^64"


def _wrong_numbers(value: Any) -> Iterator[Tuple[str, str]]:
    return ((key, wrong) for key, number in _numbers(value) if (wrong := _wrong_number(number)))


def _may_be_wrong(text: str) -> bool:
    """Whether a JSON text could hold a number that is none, or be nested too deeply; to find out takes longer."""
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        return True
    alike = text.encode("utf-8", "surrogatepass").translate(_ALIKE)
    return any(sign in alike for sign in _SUSPICIOUS)


def _place(text: str, error: json.JSONDecodeError) -> str:
    message = "a comma stands before a closing bracket" if _ends_in_comma(text, error.pos) else error.msg
    return f"line {error.lineno}, column {error.colno}: {message}"


def _ends_in_comma(text: str, place: int) -> bool:
    return text[place : place + 1] in ("]", "}") and text[:place].rstrip().endswith(",")


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, a part of a sentence, where `read_json` does."""
    try:
        value = json.loads(text, object_pairs_hook=_object)
        wrong = next(_wrong_numbers(value), None) if _may_be_wrong(text) else None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON, {_place(text, error)}") from None
    except RecursionError:
        raise ValueError("is not valid JSON that can be used: it is nested too deeply") from None
    except ValueError as error:
        what = str(error) if "stands twice" in str(error) else "it holds a number with too many digits"
        raise ValueError(f"is not valid JSON that can be used: {what}") from None
    if wrong is not None:
        raise ValueError(f"'{wrong[0]}' is {wrong[1]}")
    return value


def read_json(path: Union[str, Path]) -> Any:
    """Read a JSON file, with or without a byte order mark.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it is not JSON (line and column are named), if a key stands twice in an object with two values, or
        if it holds a number that is none: NaN, infinite or too large.
    """
    try:
        text = (path if isinstance(path, Path) else Path(path)).read_text(encoding="utf-8-sig")  # addresses too
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; correct the name, or run the stage that makes it.") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not valid JSON: byte {error.start} is not UTF-8; save the file as UTF-8."
        ) from None
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path}{_glue(str(error))}; {_ADVICE}.") from None


def _glue(reason: str) -> str:
    return f": {reason}" if reason.startswith("'") else f" {reason}"


def read_object(path: Union[str, Path], content: str = "settings") -> Dict[str, Any]:
    """Read a JSON file that holds an object, one with `content` for the error if it does not; see `read_json`."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds {json_name(value)}, expected an object with {content}; correct it.")
    return value


def write_json(path: Union[str, Path], value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
