"""Settings: one dataclass field makes one flag, one JSON key and one constructor argument.

A setting has one name everywhere. Its owner is a frozen dataclass in the room that uses it; the flag,
its help and its type are generated from the field, so that nothing is written twice. Precedence, low to
high: the field's default, a JSON section, a flag on the command line.
"""

import dataclasses
import json
import typing
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

C = TypeVar("C")


def setting(default: Any, help: str, choices: Optional[Sequence[Any]] = None) -> Any:
    """Declare a dataclass field with its default, help text (with units) and, where it is closed, its choices."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


def strip_optional(annotation: Any) -> Tuple[Any, bool]:
    """The type T of an annotation T or Optional[T], and whether it is the latter."""
    if typing.get_origin(annotation) is Union:
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        if len(inner) == 1:
            return inner[0], True
    return annotation, False


def _coerce(cls: type, name: str, annotation: Any, value: Any, where: str) -> Any:
    kind, optional = strip_optional(annotation)
    if value is None and optional:
        return None
    if typing.get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = typing.get_origin(kind) or kind
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ValueError(
            f"{where}: setting '{name}' is {value!r}, but {cls.__name__} expects {expected.__name__}; correct the file."
        )
    return value


def from_dict(cls: Type[C], values: Mapping[str, Any], where: str) -> C:
    """Build `cls` from a JSON object; an unknown key or a wrong type is an error that names `where` (the file)."""
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"{where}: unknown setting {', '.join(unknown)} for {cls.__name__}; "
            f"known settings: {', '.join(sorted(known))}."
        )
    return cls(**{name: _coerce(cls, name, hints[name], value, where) for name, value in values.items()})


def to_dict(config: Any) -> Dict[str, Any]:
    """Return a dataclass as a JSON-ready dictionary (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))
