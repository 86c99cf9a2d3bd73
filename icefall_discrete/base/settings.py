"""Settings: one dataclass field makes one flag, one JSON key and one constructor argument.

A setting has one name everywhere. Its owner is a frozen dataclass in the room that uses it; the flag,
its help and its type are generated from the field, so that nothing is written twice. Precedence, low to
high: the field's default, a JSON section, a flag on the command line.
"""

import argparse
import dataclasses
import json
import typing
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from icefall_discrete.base.atomic_files import write_text

C = TypeVar("C")


def setting(default: Any, help: str, choices: Optional[Sequence[Any]] = None) -> Any:
    """Declare a dataclass field with its default, help text (with units) and, where it is closed, its choices."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


def parse_bool(text: str) -> bool:
    """Parse icefall's booleans (1/0, true/false, yes/no) from a flag's value."""
    value = text.strip().lower()
    if value in ("1", "true", "yes", "y", "t"):
        return True
    if value in ("0", "false", "no", "n", "f"):
        return False
    raise argparse.ArgumentTypeError(f"expected a boolean such as 1, 0, true or false, got {text!r}")


def _parse_tuple(item: type):
    def parse(text: str) -> Tuple:
        try:
            return tuple(item(part) for part in text.replace(" ", ",").split(",") if part != "")
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"expected {item.__name__} values separated by commas, got {text!r}"
            ) from None

    return parse


def _strip_optional(annotation: Any) -> Tuple[Any, bool]:
    if typing.get_origin(annotation) is Union:
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        if len(inner) == 1:
            return inner[0], True
    return annotation, False


def _parser_of(annotation: Any):
    kind, _ = _strip_optional(annotation)
    if kind is bool:
        return parse_bool
    if typing.get_origin(kind) is tuple:
        return _parse_tuple(typing.get_args(kind)[0])
    return kind


def _shown(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def add_flags(parser: argparse.ArgumentParser, cls: Type[C]) -> None:
    """Add one flag for each field of `cls` to `parser`: field `num_epochs` becomes `--num-epochs`.

    A flag that is not given leaves no trace in the namespace, so that `override` can tell it from a default.
    """
    hints = typing.get_type_hints(cls)
    group = parser.add_argument_group(cls.__name__, (cls.__doc__ or "").strip().split("\n")[0])
    for field in dataclasses.fields(cls):
        help_text = f"{field.metadata.get('help', '')} (default: {_shown(field.default)})"
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            dest=field.name,
            type=_parser_of(hints[field.name]),
            choices=field.metadata.get("choices"),
            default=argparse.SUPPRESS,
            help=help_text.replace("%", "%%"),
        )


def override(config: C, args: argparse.Namespace) -> C:
    """Return `config` with the fields that were given as flags replaced."""
    names = {field.name for field in dataclasses.fields(config)}
    given = {name: value for name, value in vars(args).items() if name in names}
    return dataclasses.replace(config, **given)


def _coerce(cls: type, name: str, annotation: Any, value: Any, where: str) -> Any:
    kind, optional = _strip_optional(annotation)
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


def read_json(path: Union[str, Path]) -> Any:
    """Read a JSON file; a missing or malformed file is one sentence that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; run the stage that makes it first.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and rerun the stage that makes it.") from None


def write_json(path: Union[str, Path], value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


class ScriptParser(argparse.ArgumentParser):
    """The parser of every stage: exact flag names only, defaults shown in --help."""

    def __init__(self, description: str, prog: Optional[str] = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def config_from_flags(cls: Type[C], description: str) -> C:
    """The settings `cls` of a script whose flags are those alone, from its command line; --help shows `description`."""
    parser = ScriptParser(description)
    add_flags(parser, cls)
    return override(cls(), parser.parse_args())
