"""Settings: one dataclass field makes one flag, one JSON key and one constructor argument; see README.md.

A setting has one name everywhere. Its owner is a frozen dataclass in the room that uses it; the flag, its help and its
type are made from the field, so that nothing is written twice. Such a class may have fields that are settings classes
(`section`), and fields that are one of several (`choice`). Precedence, low to high: the field's default, JSON files in
the order of their layers, flags on the command line.
"""

import dataclasses
import functools
import json
import logging
import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from icefall_discrete.base.json_files import as_json, json_name
from icefall_discrete.base.names import did_you_mean
from icefall_discrete.base.places import (
    METADATA,
    MISSING,
    Declaration,
    Names,
    Place,
    by_short_name,
    every_kind,
    inside,
    own_places,
    walk,
)
from icefall_discrete.base.registry import Kinds

LOG = logging.getLogger(__name__)
C = TypeVar("C")
KIND = "kind"
FLAG = "--"
LARGEST_SEED = 2**32 - 1  # that numpy takes
LEAST_TEMPERATURE = 0.001  # scores over smaller ones are no numbers of 32 bits any more
MOST_THREADS = 1024  # of one process
MOST_PROCESSES = 1024  # of one command


def setting(
    default: Any,
    help: str,
    choices: Optional[Sequence[Any]] = None,
    minimum: Optional[float] = None,
    above: Optional[float] = None,
    maximum: Optional[float] = None,
    formerly: Union[str, Names] = (),
    distinct: bool = False,
) -> Any:
    """Declare a field of a settings class.

    Args:
      default: its value where nobody says another. help: what it means, with its unit.
      choices: all values that it may have, where they are few; of a tuple, those of each item.
      minimum, above, maximum: the range, `above` without its end; of a tuple, that of each item.
      formerly: names that it had; they stand for it in JSON and as flags, before settings that only end in that name.
      distinct: of a tuple, whether no item may stand in it twice.
    """
    former = (formerly,) if isinstance(formerly, str) else tuple(formerly)
    declared = Declaration(help, choices, minimum, above, maximum, former, distinct=distinct)
    return dataclasses.field(default=default, metadata={METADATA: declared})


def path_setting(help: str) -> Any:
    """Declare a text field that names a file or folder, or none where it is empty, as nobody says another."""
    return dataclasses.field(default="", metadata={METADATA: Declaration(help, is_path=True)})


def section(default: Callable[[], Any], help: str = "", formerly: Union[str, Names] = ()) -> Any:
    """Declare a field that is a settings class itself: an object in JSON, a part of the name in flags.

    Args:
      default: the class, or what else makes its default; annotate with Optional and give `lambda: None` if it may be
        absent, null in JSON.
    """
    former = (formerly,) if isinstance(formerly, str) else tuple(formerly)
    return dataclasses.field(default_factory=default, metadata={METADATA: Declaration(help, formerly=former)})


def choice(default: Optional[str], help: str, kinds: Kinds, formerly: Union[str, Names] = ()) -> Any:
    """Declare a field that is one of several settings classes, told apart by `kind`.

    In JSON `{"kind": "conv1d", "stride": 4}` or, with that kind's defaults, "conv1d"; as a flag `--front-end conv1d`.

    Args:
      default: the kind that it has where nobody says another; None, with an Optional annotation: none.
      kinds: where the classes are found, once they are needed.
    """
    former = (formerly,) if isinstance(formerly, str) else tuple(formerly)
    declared = Declaration(help, formerly=former, kinds=kinds)
    make = functools.partial(_default_kind, kinds, default)
    return dataclasses.field(default_factory=make, metadata={METADATA: declared})


def _default_kind(kinds: Kinds, kind: Optional[str]) -> Any:
    return None if kind is None else kinds.find(kind)()


def require_temperature(name: str, value: float) -> None:
    """Raise ValueError for a temperature of draws, where 0 is none, over which scores are no numbers any more."""
    if 0 < value < LEAST_TEMPERATURE or value == math.inf:
        raise ValueError(
            f"{name} is {value:g}, expected 0, the most probable always, or a number of at least {LEAST_TEMPERATURE}."
        )


def check_settings(config: Any) -> None:
    """Raise ValueError if a setting that `config` itself has is out of its declared range; for `__post_init__`."""
    for place in own_places(type(config), config):
        values = place.default if isinstance(place.default, tuple) else (place.default,)
        twice = place.declared.distinct and len(set(values)) < len(values)
        if twice or not all(one is None or place.declared.allows(one) for one in values):
            raise ValueError(f"{place.name} is {as_json(place.default)}, expected {place.expected()}.")


def require_odd(config: Any, *names: str) -> None:
    """Raise ValueError unless the settings `names`, kernels in frames, are odd: an even one would have no middle."""
    for name in names:
        value = getattr(config, name)
        even = [one for one in (value if isinstance(value, tuple) else (value,)) if one % 2 == 0]
        if even:
            raise ValueError(f"{name} is {as_json(value)}, expected odd numbers of frames; {even[0]} has no middle.")


def to_dict(config: Any) -> Dict[str, Any]:
    """Return a dataclass as a JSON-ready dictionary: tuples become lists, choices objects with their `kind`."""
    return json.loads(json.dumps(_plain(config)))


def _plain(config: Any) -> Dict[str, Any]:
    values: Dict[str, Any] = {}
    for place in own_places(type(config), config):
        value = place.default
        if dataclasses.is_dataclass(value):
            kind = {KIND: place.default_kind} if place.is_choice else {}
            value = {**kind, **_plain(value)}
        values[place.path[-1]] = value
    return values


def from_dict(cls: Type[C], values: Mapping[str, Any], where: str) -> C:
    """Build `cls` from a JSON object.

    Within an object a setting may also be given by the last of its names, or a former one, where one setting below it
    has that name. Raises ValueError, which names `where` (the file) and the setting, for what cannot be.
    """
    return from_layers(cls, [(values, where)])


def from_layers(cls: Type[C], layers: Sequence[Tuple[Mapping[str, Any], str]]) -> C:
    """Build `cls` from several JSON objects, pairs of values and file: a later one stands above those before it.

    Where a layer chooses another kind, what those before it said of the old kind's settings falls away.
    """
    overlay = Overlay(cls, None)
    for values, where in layers:
        overlay.add(values, where)
    return overlay.built()


class Overlay:
    """Settings that are said layer by layer, over an instance of `cls` or over the defaults (`base` None)."""

    def __init__(self, cls: type, base: Any) -> None:
        self._cls, self._base = cls, base
        self._values: Dict[Names, Any] = {}  # of settings; None of sections and choices that are absent
        # Of choices; empty for choices that are absent, and for sections that are there.
        self._kinds: Dict[Names, str] = {}
        self._sources: Dict[Names, str] = {}  # the file of each value, or how its flag begins
        self._layer: Dict[Names, Any] = {}
        self._file = ""  # of the last layer that was one

    def _kinds_of(self, place: Place) -> List[str]:
        kind = self._kinds.get(place.path, place.default_kind)
        return [kind] if kind else []

    def _places(self, above: Names = ()) -> List[Place]:
        found = walk(self._cls, self._base, self._kinds_of)
        return [place for place in found if place.path[: len(above)] == above and len(place.path) > len(above)]

    def add(self, values: Mapping[str, Any], where: str) -> None:
        """Put a JSON object over what was said so far."""
        self._layer, self._file = {}, where
        self._spread((), values, where)

    def add_flags(self, values: Mapping[str, Any], parsed: Callable[[Place, Any], Any], start: str) -> None:
        """Put flags over what was said so far: values by dotted names, which `parsed` makes of their texts.

        `start` begins the flags' names in messages: `--`, or `--train.` where a section is added.
        """
        self._layer, pending = {}, dict(values)
        while pending:
            known = {place.name: place for place in self._places()}
            name = min(pending, key=lambda one: not (one in known and known[one].is_choice))
            if name not in known:
                raise ValueError(self._of_another_kind(name, start))
            self._put(known[name], parsed(known[name], pending.pop(name)), start)

    def _of_another_kind(self, name: str, start: str) -> str:
        chosen = {place.path: "".join(self._kinds_of(place)) or "none" for place in self._places() if place.is_choice}
        place = next(one for one in walk(self._cls, self._base, every_kind) if one.name == name)
        path, kind = next((path, kind) for path, kind in place.of if chosen[path] != kind)
        choice_flag = start + flag_name(".".join(path))
        return (
            f"{start}{flag_name(name)} is a setting of {choice_flag} {kind}, but that is {chosen[path]}; leave it out, "
            f"or give {choice_flag} {kind}."
        )

    def _spread(self, above: Names, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            what = f"setting '{'.'.join(above)}' is" if above else "it holds"
            raise ValueError(
                f"{where}: {what} {json_name(values)}, expected an object with settings; correct the file."
            )
        pending, unknown, known = dict(values), [], self._known(above)
        while pending:
            # What holds others first: which settings there are depends on it.
            key = min(pending, key=lambda one: _rank(known.get(one, ())))
            value = pending.pop(key)
            if key not in known:
                left_out = self._is_of_old(above, key) or self._is_of_another_layers_kind(above, key, where)
                unknown += [] if left_out else [key]
            elif len(known[key]) > 1:
                names = " or ".join(place.name for place in known[key])
                raise ValueError(f"{where}: setting '{key}' may be {names}; write which one.")
            else:
                self._put(known[key][0], value, where)
                known = self._known(above) if known[key][0].holds_others else known
        if unknown:
            raise ValueError(self._unknown(above, sorted(unknown), where))

    def _known(self, above: Names) -> Dict[str, List[Place]]:
        """What a key of the object at `above` may stand for; its own settings come first."""
        places = self._places(above)
        own = {place.path[-1]: [place] for place in places if len(place.path) == len(above) + 1}
        return {**by_short_name(places), **own}

    def _is_of_old(self, above: Names, key: str) -> bool:
        """Whether files of earlier versions may have it: a former name, of a kind that is not chosen."""
        others = walk(self._cls, self._base, every_kind)
        return any(key in place.declared.formerly for place in others if place.path[: len(above)] == above)

    def _is_of_another_layers_kind(self, above: Names, key: str, where: str) -> bool:
        """Whether it is a setting of a kind in whose place a layer before this one chose another; the log then says so.

        So a model size may name another encoder than the one that a recipe has settings for.
        """
        for place in walk(self._cls, self._base, every_kind):
            if place.path[-1] == key and place.path[: len(above)] == above:
                for path, kind in place.of:
                    chosen = self._kinds.get(path, "")
                    if chosen not in ("", kind) and path not in self._layer:
                        choice_name = ".".join(path)
                        LOG.warning(f"{where}: '{key}' is left out: it is of {choice_name} {kind}, not of {chosen}.")
                        return True
        return False

    def _unknown(self, above: Names, keys: List[str], where: str) -> str:
        places = self._places(above)
        cls = places[0].cls.__name__ if places else self._cls.__name__
        known = [".".join(place.path[len(above) :]) for place in places if not place.is_section]
        meant = did_you_mean(keys[0], {*known, *by_short_name(places)})
        named = ", ".join(".".join((*above, key)) for key in keys)
        listed = f"known settings: {', '.join(sorted(known))}" if known else "it has none"
        return f"{where}: unknown setting {named} for {cls}; {f'{meant} ' if meant else ''}{listed}."

    def _put(self, place: Place, value: Any, where: str) -> None:
        if value is None and place.is_optional and place.holds_others:
            self._forget(place.path)
            self._say(place, None, where)
            self._kinds[place.path] = ""
        elif place.is_choice:
            kind, inner = self._kind_and_settings(place, value, where)
            self._choose(place, kind, where)
            self._spread(place.path, inner, where)
        elif place.is_section:
            self._revive(place.path)
            self._kinds[place.path] = ""  # it is there, with whatever settings
            self._spread(place.path, value, where)
        else:
            try:
                fitted = place.fitted(value)
            except ValueError:
                raise ValueError(refusal(place, value, where)) from None
            self._say(place, fitted, where)

    def _say(self, place: Place, value: Any, where: str) -> None:
        self._once(place, value, where)
        self._revive(place.path[:-1])
        self._values[place.path] = value
        self._sources[place.path] = where

    def _once(self, place: Place, value: Any, where: str) -> None:
        if self._layer.setdefault(place.path, value) != value:
            raise ValueError(
                f"{where}: setting '{place.name}' is given twice, as {as_json(self._layer[place.path])} and as "
                f"{as_json(value)}; "
                "leave one of them out."
            )

    def _revive(self, path: Names) -> None:
        """Let sections and choices be there, whatever an earlier layer said."""
        for length in range(1, len(path) + 1):
            self._values.pop(path[:length], None)

    def _forget(self, path: Names) -> None:
        for known in (self._values, self._kinds, self._sources):
            for below in [one for one in known if one[: len(path)] == path]:
                del known[below]

    def _kind_and_settings(self, place: Place, value: Any, where: str) -> Tuple[str, Mapping[str, Any]]:
        inner = {KIND: value} if isinstance(value, str) else value
        kind = inner.get(KIND, "".join(self._kinds_of(place))) if isinstance(inner, Mapping) else None
        if not isinstance(kind, str) or not kind:
            raise ValueError(refusal(place, value, where))
        return kind, {name: one for name, one in inner.items() if name != KIND}

    def _choose(self, place: Place, kind: str, where: str) -> None:
        try:
            place.kinds.find(kind)
        except ValueError as error:
            raise ValueError(f"{called(place, where)}: {error}") from None
        self._once(place, kind, where)
        if [kind] != self._kinds_of(place):
            self._forget(place.path)
        self._revive(place.path)
        self._kinds[place.path] = kind

    def built(self) -> Any:
        """The settings, checked by their classes."""
        return self._build(self._cls, self._base, ())

    def _build(self, cls: type, base: Any, path: Names) -> Any:
        values: Dict[str, Any] = {}
        for place in own_places(cls, base, path):
            name = place.path[-1]
            if place.path in self._values:
                values[name] = self._values[place.path]
            elif any(one[: len(place.path)] == place.path for one in (*self._values, *self._kinds)):
                inner, inner_base, _ = next(inside(place, self._kinds_of))
                values[name] = self._build(inner, inner_base, place.path)
            elif place.default is MISSING:
                where = next(iter(self._sources.values()), self._file or cls.__name__)
                raise ValueError(f"{where}: setting '{place.name}' is missing, expected {place.expected()}.")
        try:
            return cls(**values) if base is None else dataclasses.replace(base, **values)
        except ValueError as error:
            said = [self._sources.get((*path, name), FLAG) for name in values]
            files = ", ".join(dict.fromkeys(file for file in said if not file.startswith(FLAG)))
            raise ValueError(f"{files}: {error}" if files else str(error)) from None


def _rank(places: Sequence[Place]) -> int:
    if not places:
        return 3
    return 0 if places[0].is_choice else 1 if places[0].is_section else 2


def flag_name(name: str) -> str:
    """The flag of a setting, without its dashes: `train.num-epochs` of `train.num_epochs`."""
    return name.replace("_", "-")


def called(place: Place, where: str) -> str:
    """A setting in a sentence: with the file that it stands in, or as a flag, of which `where` is the beginning."""
    return f"{where}{flag_name(place.name)}" if where.startswith(FLAG) else f"{where}: setting '{place.name}'"


def refusal(place: Place, value: Any, where: str) -> str:
    """The sentence for a value that a setting cannot have; `where` as in `called`."""
    wrong = f"{called(place, where)} is {as_json(value)}"
    is_flag = where.startswith(FLAG)
    if place.declared.kinds is not None:
        other = "" if is_flag else f", or an object with '{KIND}'"
        return f"{wrong}, expected one of {', '.join(place.declared.kinds.names())}{other}."
    meant = did_you_mean(value, map(str, place.declared.choices or ())) if isinstance(value, str) else ""
    size = place.why_not(value)
    end = f"; {meant}" if meant else f"{size}."
    if is_flag:
        return f"{wrong}, expected {place.expected('{}, separated by commas')}{end}"
    return f"{wrong}, but {place.cls.__name__} expects {place.expected()}{size}; {meant or 'correct the file.'}"
