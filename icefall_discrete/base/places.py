"""The tree of settings below a settings class: what stands where, of which type, and what it may be."""

import collections.abc
import dataclasses
import functools
import types
import typing
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from icefall_discrete.base.registry import Kinds

Names = Tuple[str, ...]
MISSING = dataclasses.MISSING
METADATA = "setting"  # the key of a field's declaration
_TOO_LARGE = 2**63  # no integer of torch's holds it
# Seconds, dB, ratios and weights end here: so many seconds in samples are still a number, and a part of one is too.
_LARGEST, _SMALLEST = 1e12, 1e-30
_TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "an object",
    collections.abc.Mapping: "an object",
}
_PLURALS = {int: "whole numbers", float: "numbers", str: "texts", bool: "true or false values"}


def _number(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What its owner says about a setting beside name, type and default; for meanings see `setting` in settings.py."""

    help: str = ""
    choices: Optional[Sequence[Any]] = None
    minimum: Optional[float] = None
    above: Optional[float] = None
    maximum: Optional[float] = None
    formerly: Names = ()
    kinds: Optional[Kinds] = None
    distinct: bool = False
    is_path: bool = False

    def bounds(self) -> str:
        """The range or the choices in words, empty if everything goes."""
        if self.choices is not None:
            return f"one of {', '.join(map(str, self.choices))}"
        parts = [("at least", self.minimum), ("above", self.above), ("at most", self.maximum)]
        return " and ".join(f"{word} {_number(bound)}" for word, bound in parts if bound is not None)

    def allows(self, value: Any) -> bool:
        """Whether one value of the right type is in the range, and among the choices."""
        return (
            (self.choices is None or value in self.choices)
            and (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.maximum is None or value <= self.maximum)
        )


def is_of_use(number: float) -> bool:
    """Whether a number that need not be whole is 0, or of a size that its products and quotients are numbers too."""
    return number == 0 or _SMALLEST <= abs(number) <= _LARGEST


class Place(NamedTuple):
    """Where a setting, a section or a choice stands in the tree below a settings class.

    path: the names that lead to it. cls: the class that declares it. annotation: its type, without Optional.
    default: its value in the instance that was walked, MISSING if there is none. of: the choices that it depends on,
    outermost first, as (path, kind).
    """

    path: Names
    cls: type
    annotation: Any
    is_optional: bool
    declared: Declaration
    default: Any
    of: Tuple[Tuple[Names, str], ...]

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.path)

    @property
    def is_choice(self) -> bool:
        """Whether it is one of several kinds."""
        return self.declared.kinds is not None

    @property
    def kinds(self) -> Kinds:
        """Of a choice, where its classes are found."""
        if self.declared.kinds is None:
            raise ValueError(f"{self.name} is one setting, not a choice of kinds.")
        return self.declared.kinds

    @property
    def is_section(self) -> bool:
        """Whether it is a settings class."""
        return not self.is_choice and dataclasses.is_dataclass(self.annotation)

    @property
    def holds_others(self) -> bool:
        """Whether there are settings below it."""
        return self.is_choice or self.is_section

    @property
    def default_kind(self) -> str:
        """Of a choice, the kind of its default; empty for none."""
        absent = self.default is MISSING or self.default is None or not self.is_choice
        return "" if absent else self.kinds.name_of(type(self.default))

    def expected(self, listed: str = "a list of {}") -> str:
        """What its value should be, in words."""
        bounds = self.declared.bounds()
        items = typing.get_args(self.annotation)
        if typing.get_origin(self.annotation) is tuple:
            name = listed.format(_PLURALS.get(items[0], "values")) + (f", each {bounds}" if bounds else "")
            name += ", none of them twice" if self.declared.distinct else ""
        else:
            plain = typing.get_origin(self.annotation) or self.annotation
            name = _TYPE_NAMES.get(plain, getattr(plain, "__name__", str(plain)))
            of = " of " if bounds.startswith("at") else " "
            name = bounds if self.declared.choices is not None else f"{name}{of if bounds else ''}{bounds}"
        return f"{name} or null" if self.is_optional else name

    def why_not(self, value: Any) -> str:
        """What `expected` does not say of a value, or its text, that is refused for its size alone; empty of others."""
        items = typing.get_args(self.annotation)
        if float not in (self.annotation, *items):
            return ""
        try:
            numbers = [float(one) for one in (value if isinstance(value, (list, tuple)) else str(value).split(","))]
        except (OverflowError, TypeError, ValueError):
            return ""
        refused = [one for one in numbers if self.declared.allows(one) and not is_of_use(one)]
        return f"; its size must be 0, or {_SMALLEST:g} to {_LARGEST:g}" if refused else ""

    def fitted(self, value: Any) -> Any:
        """`value` as the field holds it: lists become tuples, whole numbers floats where floats are asked for.

        Raises:
          ValueError: if it has another type or is out of range; say `expected` then.
        """
        if value is None and self.is_optional:
            return None
        if typing.get_origin(self.annotation) is not tuple:
            return self._fitted_one(self.annotation, value)
        if not isinstance(value, (list, tuple)):
            raise ValueError("no list")
        fitted = tuple(self._fitted_one(typing.get_args(self.annotation)[0], one) for one in value)
        if self.declared.distinct and len(set(fitted)) < len(fitted):
            raise ValueError("one of them twice")
        return fitted

    def _fitted_one(self, annotation: Any, value: Any) -> Any:
        plain = typing.get_origin(annotation) or annotation
        if plain is Any:
            return value
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and not abs(value) < _TOO_LARGE:
            raise ValueError("too large, or no number")
        if plain is float and is_number:
            value = float(value)
            if not is_of_use(value):
                raise ValueError("too large, or too small")
        if plain is int and isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows one kind of number
        if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
            raise ValueError("another type")
        if not self.declared.allows(value):
            raise ValueError("out of range")
        return value


@functools.cache
def _annotations(cls: type) -> Dict[str, Tuple[Any, bool]]:
    """The fields of a class with their types, and whether they may be None."""
    hints = typing.get_type_hints(cls)
    return {field.name: _without_none(hints[field.name]) for field in dataclasses.fields(cls) if field.init}


def _without_none(annotation: Any) -> Tuple[Any, bool]:
    inner = [one for one in typing.get_args(annotation) if one is not type(None)]
    is_optional = typing.get_origin(annotation) in (Union, types.UnionType) and len(inner) == 1
    return (inner[0], True) if is_optional else (annotation, False)


def _default(field: dataclasses.Field, base: Any) -> Any:
    if base is not None:
        return getattr(base, field.name)
    return field.default if field.default_factory is MISSING else field.default_factory()


def default_of(cls: type) -> Any:
    """The instance of a settings class with its defaults, or None if some settings have none."""
    needed = [one for one in dataclasses.fields(cls) if one.default is MISSING and one.default_factory is MISSING]
    return None if needed else cls()


def own_places(cls: type, base: Any, path: Names = (), of: Tuple[Tuple[Names, str], ...] = ()) -> Iterator[Place]:
    """The settings, sections and choices that `cls` itself declares, with their values in `base` or their defaults."""
    annotations = _annotations(cls)
    for field in dataclasses.fields(cls):
        if field.init:
            declared = field.metadata.get(METADATA, Declaration())
            yield Place((*path, field.name), cls, *annotations[field.name], declared, _default(field, base), of)


KindsOf = Callable[[Place], Sequence[str]]


def inside(place: Place, kinds_of: KindsOf) -> Iterator[Tuple[type, Any, Tuple[Tuple[Names, str], ...]]]:
    """Classes that a section or choice holds, their instances before any change, and what they depend on."""
    if place.is_choice and place.declared.kinds is not None:
        for kind in kinds_of(place):
            cls = place.declared.kinds.find(kind)
            base = place.default if type(place.default) is cls else default_of(cls)
            yield cls, base, (*place.of, (place.path, kind))
    elif place.is_section:
        is_there = isinstance(place.default, place.annotation)
        yield place.annotation, place.default if is_there else default_of(place.annotation), place.of


def walk(cls: type, base: Any, kinds_of: KindsOf) -> Iterator[Place]:
    """Every setting, section and choice below `cls`, those above first; `kinds_of` says which kinds are gone into."""

    def below(places: Iterator[Place]) -> Iterator[Place]:
        for place in places:
            yield place
            for inner, inner_base, of in inside(place, kinds_of):
                yield from below(own_places(inner, inner_base, place.path, of))

    return below(own_places(cls, base))


def every_kind(place: Place) -> Sequence[str]:
    """All kinds of a choice, for `walk`."""
    return place.declared.kinds.names() if place.declared.kinds is not None else ()


def by_short_name(places: Sequence[Place]) -> Dict[str, List[Place]]:
    """For each last name and former name of `places` those that it may stand for; a former name comes first."""
    last: Dict[str, List[Place]] = {}
    former: Dict[str, List[Place]] = {}
    for place in places:
        last.setdefault(place.path[-1], []).append(place)
        for name in place.declared.formerly:
            former.setdefault(name, []).append(place)
    return {**last, **former}
