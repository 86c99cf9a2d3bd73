"""Flags of scripts, made from settings: the field `num_epochs` becomes `--num-epochs`."""

import argparse
import dataclasses
import typing
from typing import Any, Optional, Tuple, Type, TypeVar

from icefall_discrete.base.settings import strip_optional

C = TypeVar("C")


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


def _parser_of(annotation: Any):
    kind, _ = strip_optional(annotation)
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
