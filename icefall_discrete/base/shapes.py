"""What the values of a JSON record must be, for those that are not settings: figures of stages, manifests, facts."""

import json
from typing import Any, Callable, Dict, Mapping, NamedTuple

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.json_files import json_name, read_json
from icefall_discrete.base.text_files import is_one_line

_SHOWN = 60
_MOST = 1e12  # no count or time of ours comes near
_NUMBERS = (float, int)


class Shape(NamedTuple):
    """What a value must be, in words, and whether it is."""

    name: str
    fits: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number of a size that can be reckoned with."""
    return type(value) in _NUMBERS and -_MOST < value < _MOST


def is_whole(value: Any) -> bool:
    """Whether a JSON value is a whole number of a size that can be reckoned with."""
    return type(value) is int and -_MOST < value < _MOST


def _of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


TEXT = Shape("text", lambda value: isinstance(value, str))
NAME = Shape("text that is not empty", lambda value: isinstance(value, str) and bool(value))
# Ids stand in lines of tables and transcripts.
ID = Shape(
    "text that is not empty, without tabs, ends of lines and control characters",
    lambda value: isinstance(value, str) and bool(value.strip()) and is_one_line(value),
)
BOOLEAN = Shape("true or false", lambda value: isinstance(value, bool))
NUMBER = Shape("a number", is_number)
FROM_0 = Shape("a number from 0", lambda value: is_number(value) and value >= 0)
POSITIVE = Shape("a number above 0", lambda value: is_number(value) and value > 0)
COUNT = Shape("a whole number above 0", lambda value: is_whole(value) and value > 0)
WHOLE = Shape("a whole number from 0", lambda value: is_whole(value) and value >= 0)
OBJECT = Shape("an object", lambda value: isinstance(value, dict))
OBJECTS = Shape("a list of objects", _of(lambda value: isinstance(value, dict)))
TEXTS = Shape("a list of texts", _of(lambda value: isinstance(value, str)))
COUNTS = Shape("a list of whole numbers from 0", _of(lambda value: is_whole(value) and value >= 0))


def or_null(shape: Shape) -> Shape:
    """The same, or null, or absent."""
    return Shape(f"{shape.name}, or null", lambda value: value is None or shape.fits(value))


def shown(value: Any) -> str:
    """A JSON value as it stands in a file, or what it is if that is long."""
    text = json.dumps(value, ensure_ascii=False)
    text = text if is_one_line(text) else json.dumps(value)
    return text if len(text) <= _SHOWN else json_name(value)


def require(values: Mapping[str, Any], shapes: Dict[str, Shape], what: str) -> None:
    """Raise ValueError, a part of a sentence, if an entry of the object `what` is not of its shape."""
    for key, shape in shapes.items():
        if not shape.fits(values.get(key)):
            if key not in values:
                raise ValueError(f"{what} has no '{key}', expected {shape.name}")
            raise ValueError(f"'{key}' of {what} is {shown(values[key])}, expected {shape.name}")


def read_shaped(path: PathLike, shapes: Dict[str, Shape], advice: str) -> Dict[str, Any]:
    """Read a file that holds an object with entries of these shapes; others may be there too.

    Args:
      advice: the end of the sentence: what to do.
    Raises:
      FileNotFoundError, ValueError: naming the file and the key.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds {json_name(value)}, expected an object; {advice}.")
    try:
        require(value, shapes, str(path))
    except ValueError as error:
        raise ValueError(f"{error}; {advice}.") from None
    return value
