"""Flags of scripts, made from settings: `num_epochs` of section `train` becomes `--train.num-epochs`.

The last part of a flag's name alone, `--num-epochs`, and a setting's former names stand for it wherever only one flag
of the script has them.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List, NoReturn, Optional, Sequence, Tuple, Type, TypeVar

from icefall_discrete.base.addresses import Address, is_address, readable
from icefall_discrete.base.names import did_you_mean
from icefall_discrete.base.places import MISSING, Declaration, Place, by_short_name, default_of, every_kind, walk
from icefall_discrete.base.settings import FLAG, LARGEST_SEED, Overlay, flag_name, refusal

C = TypeVar("C")
ONLY_FLAGS = "ICEFALL_DISCRETE_ONLY_FLAGS"
_TRUE, _FALSE = ("1", "true", "yes", "y", "t"), ("0", "false", "no", "n", "f")
_NEGATIVE = re.compile(r"-[\d.]")
_OF_NUMBERS, _FLAG_FIRST = re.compile(r"^argument (\S+): is "), r"\1 is "


def _parsed_one(kind: type, text: str) -> Any:
    if kind in (int, float) and (not text.isascii() or "_" in text):
        raise ValueError(text)  # Python takes digits of every script, and 1_000
    if kind is not bool:
        return kind(text)
    value = text.strip().lower()
    if value not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return value in _TRUE


class Number:
    """A number within a range, as the `type` of a flag that a script has beside its settings; ends are as in `setting`.

    Args:
      kind: int or float.
    """

    def __init__(
        self,
        kind: type,
        minimum: Optional[float] = None,
        above: Optional[float] = None,
        maximum: Optional[float] = None,
    ) -> None:
        self.kind, self.declared = kind, Declaration("", None, minimum, above, maximum)

    def __call__(self, text: str) -> Any:
        """The number that a flag's text says. Raises ArgumentTypeError, which argparse puts behind the flag's name."""
        place = Place((), Number, self.kind, False, self.declared, MISSING, ())
        try:
            return place.fitted(_parsed_one(self.kind, text))
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"is '{text}', expected {place.expected()}{place.why_not(text)}."
            ) from None


SEED = Number(int, minimum=0, maximum=LARGEST_SEED)


def parsed(place: Place, value: Any) -> Any:
    """The value of a setting from its flag's text; what is no text, or not to be read, is given back as it is.

    Several values have commas between them, and may have blanks in them then; without a comma, blanks.
    """
    if not isinstance(value, str):
        return value
    if place.is_optional and value.lower() == "none":
        return None
    if place.is_choice:
        return value
    items = getattr(place.annotation, "__args__", ())
    try:
        if items:
            parts = value.split(",") if "," in value else value.split()
            return tuple(_parsed_one(items[0], part.strip()) for part in parts if part.strip())
        return _parsed_one(place.annotation, value)
    except ValueError:
        return value


def _shown(value: Any) -> str:
    return ",".join(str(one) for one in value) if isinstance(value, tuple) else str(value)


def _help_of(place: Place) -> str:
    default = place.default_kind or "none" if place.is_choice else _shown(place.default)
    bounds = "" if place.declared.choices is not None else place.declared.bounds()
    return f"{place.declared.help}{f' [{bounds}]' if bounds else ''} (default: {default})"


def _title_of(place: Place, flag: str) -> str:
    section = flag.rpartition(".")[0]
    return section or place.cls.__name__


class ScriptParser(argparse.ArgumentParser):
    """The parser of every stage: exact flag names only, defaults shown in --help, one sentence for a mistake."""

    def __init__(self, description: str, prog: Optional[str] = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for kind in (int, float):
            self.register("type", kind, Number(kind))
        self._places: Dict[str, List[Place]] = {}  # by flag; several where kinds share a name
        self._short: Dict[str, List[str]] = {}  # flags that a short name may stand for
        self._is_complete = False

    def add_settings(self, cls: type, section: str) -> None:
        """Add a flag for each setting below `cls`, of every kind; see `add_flags`."""
        found: Dict[str, List[Place]] = {}
        places = [place for place in walk(cls, default_of(cls), every_kind) if not place.is_section]
        for place in places:
            found.setdefault(flag_name(f"{section}.{place.name}" if section else place.name), []).append(place)
        taken = sorted(set(found) & set(self._places))
        if taken:
            raise argparse.ArgumentError(None, f"two settings ask for --{taken[0]}; give one of them a section.")
        self._places.update(found)

    def _flags_by_short_name(self) -> Dict[str, List[str]]:
        flags = {id(place): flag for flag, places in self._places.items() for place in places}
        short = by_short_name([place for places in self._places.values() for place in places])
        named = {name: sorted({flags[id(place)] for place in places}) for name, places in short.items()}
        own = {name[2:] for name in self._option_string_actions}
        return {flag_name(name): found for name, found in named.items() if flag_name(name) not in {*own, *self._places}}

    def _complete(self) -> None:
        """Make the flags, once all are known: only then it is clear which short names stand for one of them."""
        if self._is_complete:
            return
        self._is_complete = True
        if self._places:
            own = self.format_usage().replace("usage: ", "", 1).replace("%", "%%").rstrip()
            self.usage = f"{own} [--SETTING VALUE ...]"
        self._short = self._flags_by_short_name()
        groups: Dict[str, Any] = {}
        for flag, places in self._places.items():
            title = _title_of(places[0], flag)
            if title not in groups:
                groups[title] = self.add_argument_group(title, self._about(title))
            dest = flag.replace("-", "_")
            short = [f"--{name}" for name, flags in self._short.items() if flags == [flag]]
            choices = places[0].declared.choices or (places[0].declared.kinds and places[0].declared.kinds.names())
            groups[title].add_argument(
                f"--{flag}",
                *short,
                dest=dest,
                metavar="{" + ",".join(map(str, choices)) + "}" if choices else dest.rpartition(".")[2].upper(),
                default=argparse.SUPPRESS,
                help="; ".join(self._texts(places)).replace("%", "%%"),
            )

    def _about(self, title: str) -> str:
        """The first line about each class whose settings stand under `title`."""
        lines: Dict[str, None] = {}
        for flag, places in self._places.items():
            for place in places:
                if _title_of(place, flag) == title:
                    kind = f"{place.of[-1][1]}: " if place.of and place.of[-1][0] == place.path[:-1] else ""
                    lines[kind + (place.cls.__doc__ or "").strip().split("\n")[0]] = None
        return "\n".join(lines)

    @staticmethod
    def _texts(places: Sequence[Place]) -> List[str]:
        """The help of a flag; where it is of some kinds only, behind their names."""
        kinds: Dict[str, List[str]] = {}
        for place in places:
            kinds.setdefault(_help_of(place), []).extend(place.of[-1][1:] if place.of else ())
        return [f"{', '.join(names)}: {text}" if names else text for text, names in kinds.items()]

    def known_flags(self) -> List[Tuple[List[str], argparse.Action, List[Place]]]:
        """Each flag: its names without dashes, the longest first; argparse's action; the settings it is of, if any."""
        self._complete()
        flags = [action for action in self._actions if action.dest != "help"]
        names = [[name[2:] for name in action.option_strings] for action in flags]
        return [(own, action, self._places.get(own[0], [])) for own, action in zip(names, flags)]

    def format_help(self) -> str:
        """The text of --help."""
        self._complete()
        return super().format_help()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does. Where the variable ONLY_FLAGS is 1, it only checks what is given, and ends."""
        if os.environ.get(ONLY_FLAGS) != "1":
            return super().parse_args(args, namespace)
        for action in self._actions:
            action.required = False
        super().parse_args(args, namespace)
        return self.exit(0, "the flags are valid; nothing was done\n")

    def parse_known_args(self, args: Optional[Iterable[str]] = None, namespace: Any = None) -> Tuple[Any, List[str]]:
        """Parse as argparse does, and read the settings among the flags; unknown flags are errors."""
        self._complete()
        found, rest = super().parse_known_args(self._checked(sys.argv[1:] if args is None else list(args)), namespace)
        self._refuse_addresses(found)
        for flag, places in self._places.items():
            dest = flag.replace("-", "_")
            if hasattr(found, dest):
                setattr(found, dest, self._value(places, flag, getattr(found, dest)))
        return found, rest

    def _refuse_addresses(self, found: argparse.Namespace) -> None:
        """End the program where an address is given for a file or folder that has to be on this machine."""
        for dest, value in vars(found).items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, Path) and is_address(one) and not isinstance(one, Address):
                    self.error(
                        f"--{dest.replace('_', '-')} is '{readable(one)}', an address, expected a place on this "
                        "machine; copy what lies there, or mount it as a folder. Cuts to encode and Shar to train on "
                        "may lie elsewhere."
                    )

    def _value(self, places: Sequence[Place], flag: str, text: str) -> Any:
        """The value of a flag, or its text where kinds read it differently and the kind is not known yet."""
        sentence = ""
        for place in places:
            value = parsed(place, text)
            try:
                if place.is_choice and value is not None:
                    place.kinds.find(value)
                elif not place.is_choice:
                    value = place.fitted(value)
                return value if len(places) == 1 else text
            except ValueError as error:
                start = f"{FLAG}{flag.removesuffix(flag_name(place.name))}"
                sentence = sentence or (f"--{flag}: {error}" if place.is_choice else refusal(place, text, start))
        return self.error(sentence)

    def _checked(self, words: Sequence[str]) -> List[str]:
        """The command line, with negative numbers tied to their flags. Ends the program at an unknown flag."""
        known = self._option_string_actions
        checked: List[str] = []
        for place, word in enumerate(words):
            if word == "--":
                return [*checked, *words[place:]]
            name = word.partition("=")[0]
            if word.startswith("--") and name not in known:
                self.error(self._unknown(name[2:]))
            if checked and _NEGATIVE.match(word) and self._is_setting(checked[-1]):
                checked[-1] += f"={word}"
            else:
                checked.append(word)
        return checked

    def _is_setting(self, word: str) -> bool:
        action = self._option_string_actions.get(word)
        return action is not None and action.default is argparse.SUPPRESS and action.nargs is None

    def _unknown(self, name: str) -> str:
        if name in self._short:
            return f"--{name} may be {' or '.join(f'--{flag}' for flag in self._short[name])}; write which one."
        meant = did_you_mean(name, [known[2:] for known in self._option_string_actions], "--")
        return f"unknown flag --{name}; {f'{meant} ' if meant else ''}--help shows all."

    def error(self, message: str) -> NoReturn:
        """End the program with status 2 and one sentence."""
        self.exit(2, f"error: {_OF_NUMBERS.sub(_FLAG_FIRST, message)}\n")


def add_flags(parser: ScriptParser, cls: Type[C], section: str = "") -> None:
    """Add a flag for each setting below `cls`, of every kind that its choices know.

    A flag that is not given leaves no trace in the namespace, so that `override` can tell it from a default.

    Args:
      section: begins the flags' names; `override` needs the same.
    """
    parser.add_settings(cls, section)


def override(config: C, args: argparse.Namespace, section: str = "") -> C:
    """Return `config` with the settings that were given as flags replaced.

    Raises:
      ValueError: if a flag is of another kind than the one that is chosen, or the settings do not go together.
    """
    given = vars(args)
    start = f"{section}." if section else ""
    names = [place.name for place in walk(type(config), config, every_kind) if not place.is_section]
    overlay = Overlay(type(config), config)
    overlay.add_flags({name: given[start + name] for name in names if start + name in given}, parsed, FLAG + start)
    return overlay.built()


def given_settings(args: argparse.Namespace, section: str) -> List[str]:
    """The names of the settings of a section that were given as flags."""
    return [name.partition(".")[2] for name in vars(args) if name.partition(".")[0] == section]


def config_from_flags(cls: Type[C], description: str) -> C:
    """The settings `cls` of a script whose flags are those alone, from its command line; --help shows `description`."""
    parser = ScriptParser(description)
    add_flags(parser, cls)
    return override(cls(), parser.parse_args())


def value_of_flag(name: str, arguments: Sequence[str]) -> Optional[str]:
    """The value of one flag (without dashes) of a command line, read before it is known which others there are."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{name}", dest="value")
    return parser.parse_known_args(arguments)[0].value
