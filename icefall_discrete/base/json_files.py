"""JSON files: read with one sentence for each mistake, and written whole."""

import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Union

from icefall_discrete.base.atomic_files import write_text

JSON_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def json_name(value: Any) -> str:
    """What JSON calls the type of a value, for messages: "a list", "a number", "null" ..."""
    return "null" if value is None else JSON_NAMES.get(type(value), type(value).__name__)


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise ValueError(f"'{key}' stands twice in one object, as {found[key]!r} and as {value!r}")
        found[key] = value
    return found


def _numbers(value: Any, key: str = "") -> Iterator[Tuple[str, float]]:
    """The numbers with a point in a JSON value, with the dotted names of where they stand."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, (dict, list)):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(inner, f"{key}.{name}" if key else str(name))


def _place(text: str, error: json.JSONDecodeError) -> str:
    message = "a comma stands before a closing bracket" if _ends_in_comma(text, error.pos) else error.msg
    return f"line {error.lineno}, column {error.colno}: {message}"


def _ends_in_comma(text: str, place: int) -> bool:
    return text[place : place + 1] in ("]", "}") and text[:place].rstrip().endswith(",")


def read_json(path: Union[str, Path]) -> Any:
    """Read a JSON file, with or without a byte order mark.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it is not JSON (line and column are named), if a key stands twice in an object with two values, or
        if it holds a number that is none: NaN, infinite or too large.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; correct the name, or run the stage that makes it.") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not valid JSON: byte {error.start} is not UTF-8; save the file as UTF-8."
        ) from None
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not valid JSON, {_place(text, error)}; correct it there, or, if a stage wrote the file, run "
            "that stage again."
        ) from None
    except RecursionError:
        raise ValueError(f"{path} is not valid JSON that can be used: it is nested too deeply; correct it.") from None
    except ValueError as error:
        what = str(error) if "stands twice" in str(error) else "it holds a number with too many digits"
        raise ValueError(f"{path} is not valid JSON that can be used: {what}; correct it.") from None
    for key, number in _numbers(value):
        if not math.isfinite(number):
            raise ValueError(f"{path}: '{key}' is {number}, expected a finite number; correct it.")
    return value


def read_object(path: Union[str, Path], content: str = "settings") -> Dict[str, Any]:
    """Read a JSON file that holds an object, one with `content` for the error if it does not; see `read_json`."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds {json_name(value)}, expected an object with {content}; correct it.")
    return value


def write_json(path: Union[str, Path], value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
