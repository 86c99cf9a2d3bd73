"""Provenance: what an outcome was made from, kept beside it; the one answer to "was it made from the same?".

    now = Provenance(inputs={"pieces": digest_of_file(path)}, settings={"order": 3}, noted={"torch": "2.1"})
    now.require_same(Provenance.read(record), f"{folder} holds a model trained", "choose another --lm-dir")
    now.write(record)

`inputs` are digests of what was read, by name, `settings` are values; they may be nested and are compared by dotted
names, whichever of the two holds them. `noted` is kept for people and not compared. On disk it is one JSON object,
alone in a file that is whole or absent, or one entry of a larger record (`to_json`, `from_json`):

    {"inputs": {"pieces": "9f..."}, "settings": {"order": 3}, "noted": {"torch": "2.1"}}

A record of earlier versions, one flat object or one with `files` for `inputs`, is read as well, and what names the
same values counts as the same. An owner that adds a name later says so in `Rules.later`, so that older records stay
good. Settings that may change between two runs, and those that may only rise, are declared by their owner too.
"""

import dataclasses
import functools
import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.json_files import json_name, read_json, write_json
from icefall_discrete.base.settings_digest import canonical_json

LOG = logging.getLogger(__name__)
_NAMES_SHOWN = 3
_DIGEST_SHOWN = 12  # of a hash so many digits are shown
_HASH_DIGITS = 64
_DIGEST_SUFFIX = "_sha256"
_SECTIONS = ("inputs", "settings", "noted")
_OLD_INPUTS = "files"
_MADE = "made"


class Difference(NamedTuple):
    """A dotted name and its two values; None where it is absent."""

    name: str
    was: Any
    now: Any

    @property
    def values(self) -> str:
        """Both values in words."""
        return f"was {_shown(self.was)}, is {_shown(self.now)}"

    def __str__(self) -> str:
        return f"{self.name}: {self.values}"


@dataclasses.dataclass(frozen=True)
class Rules:
    """What its owner allows to differ, by dotted names.

    free: may change. may_rise: may be larger now. later: not held against a record that does not have it.
    A name stands for all that lies below it, too: `train` for `train.device`.
    """

    free: Tuple[str, ...] = ()
    may_rise: Tuple[str, ...] = ()
    later: Tuple[str, ...] = ()

    def allow(self, found: Difference) -> bool:
        """Whether a difference is none that counts."""
        if _is_below(found.name, self.free):
            return True
        if found.was is None and _is_below(found.name, self.later):
            return True
        both = isinstance(found.was, (int, float)) and isinstance(found.now, (int, float))
        return both and _is_below(found.name, self.may_rise) and found.now > found.was


STRICT = Rules()


def _is_below(name: str, names: Iterable[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in names)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _HASH_DIGITS and set(value) <= set("0123456789abcdef")


def _shown(value: Any) -> str:
    return f"'{value[:_DIGEST_SHOWN]}...'" if _is_hash(value) else repr(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> Dict[str, Any]:
    """Nested objects as one, with dotted names; an empty object vanishes, a list is one value."""
    found: Dict[str, Any] = {}
    for key, value in values.items():
        found.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return found


def differences(was: Mapping[str, Any], now: Mapping[str, Any], rules: Rules = STRICT) -> List[Difference]:
    """Where two nested objects differ, in the order of the names; `1` and `1.0`, tuples and lists are the same.

    What is called `model` in one and otherwise in the other is the same if the hash beside it, `model_sha256`, is.
    """
    before, after = flat(was), flat(now)
    found = [Difference(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    changed = [one for one in found if canonical_json(one.was) != canonical_json(one.now) and not rules.allow(one)]
    return [one for one in changed if not _is_only_a_name(one, before, after)]


def _is_only_a_name(found: Difference, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    digests = [values.get(f"{found.name}{_DIGEST_SUFFIX}") for values in (before, after)]
    return (
        isinstance(found.was, str) and isinstance(found.now, str) and _is_hash(digests[0]) and digests[0] == digests[1]
    )


def against(found: Iterable[Difference]) -> str:
    """Differences of two things that stand side by side: 'layer: 2 against 3; rate: 50 against 75'."""
    return "; ".join(f"{one.name}: {one.was!r} against {one.now!r}" for one in found)


def summary(found: List[Difference]) -> str:
    """Differences between then and now, short: the names, and the values of the first one that says something.

    Of two hashes one only learns that they differ; they are shown where there is nothing else.
    """
    names = ", ".join(one.name for one in found[:_NAMES_SHOWN])
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    told = next((one for one in found if not (_is_hash(one.was) or _is_hash(one.now))), found[0])
    return f"{names}{more} ({told if len(found) > 1 else told.values})"


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What something is made from.

    inputs: digests (or other short marks) of what is read, by name. settings: values, JSON-ready or tuples.
    noted: versions, counts and the like, which are not compared.
    """

    inputs: Dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: Dict[str, Any] = dataclasses.field(default_factory=dict)
    noted: Dict[str, Any] = dataclasses.field(default_factory=dict)

    def compared(self) -> Dict[str, Any]:
        """All that is compared, by dotted names."""
        return {**flat(self.inputs), **flat(self.settings)}

    def differences(self, recorded: "Provenance", rules: Rules = STRICT) -> List[Difference]:
        """What differs from a `recorded` one, in the order of the names."""
        return differences(recorded.compared(), self.compared(), rules)

    def is_same(self, recorded: "Provenance", rules: Rules = STRICT) -> bool:
        """Whether nothing that counts differs."""
        return not self.differences(recorded, rules)

    def require_same(self, recorded: "Provenance", made: str, advice: str, rules: Rules = STRICT) -> None:
        """Raise ValueError unless nothing that counts differs from what an outcome was `recorded` to be made from.

        Args:
          made: what it is and how it was made, such as "data/lang_bpe_500 holds pieces trained".
          advice: what to do, the end of the sentence: which stage to run, which flag to give.
        """
        found = self.differences(recorded, rules)
        if found:
            raise ValueError(f"{made} with other {summary(found)}; {advice}.")

    def is_stale(self, recorded: "Provenance", made: str, advice: str, rules: Rules = STRICT) -> bool:
        """Whether an outcome is to be made anew, since what it was made from changed though its settings did not.

        Raises ValueError, as `require_same` does, if a setting changed too: then another thing is asked for.
        """
        found = self.differences(recorded, rules)
        if all(_is_below(one.name, (*self.inputs, *recorded.inputs)) for one in found):
            if found:
                LOG.warning("%s with other %s: it is made anew", made, summary(found))
            return bool(found)
        self.require_same(recorded, made, advice, rules)
        return False

    def digest(self) -> str:
        """Hexadecimal digest of all that is compared: short proof of the whole, for things made from the outcome."""
        return hashlib.sha256(canonical_json(self.compared()).encode()).hexdigest()

    def to_json(self) -> Dict[str, Any]:
        """JSON object of this; empty sections but `inputs` are left out."""
        sections = {name: getattr(self, name) for name in _SECTIONS}
        return {name: values for name, values in sections.items() if values or name == "inputs"}

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Provenance":
        """Take over what `to_json` gave, or a record of earlier versions; `where` names it in errors.

        Raises:
          ValueError: if it is no JSON object, or a section of it is none.
        """
        if not isinstance(value, dict):
            raise ValueError(
                f"{where} should say what an outcome was made from, but is {json_name(value)}, not an object; it was "
                "damaged: move it aside and rerun the stage that writes it."
            )
        if not value or not set(value) <= {*_SECTIONS, _OLD_INPUTS}:
            return cls(settings=value)
        for name, section in value.items():
            if not isinstance(section, dict):
                raise ValueError(
                    f"{where}: '{name}' is {json_name(section)}, not an object; it was damaged: move the file aside "
                    "and rerun the stage that writes it."
                )
        inputs = {**value.get(_OLD_INPUTS, {}), **value.get("inputs", {})}
        return cls(inputs, value.get("settings", {}), value.get("noted", {}))

    def write(self, path: PathLike) -> None:
        """Write the record, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: PathLike) -> "Provenance":
        """Read a record, of today or of earlier versions. Raises ValueError or FileNotFoundError, naming the file."""
        return cls.from_json(read_json(path), str(path))

    @classmethod
    def read_if_there(cls, path: PathLike) -> Optional["Provenance"]:
        """The record, or None if there is no such file."""
        return cls.read(path) if (path if isinstance(path, Path) else Path(path)).is_file() else None


def recorded_in(record: Mapping[str, Any], where: PathLike) -> Provenance:
    """The entry `made_from` of a larger record, or the flat `inputs` of earlier versions."""
    return Provenance.from_json(record.get("made_from", record.get("inputs")), f"{where}, 'made_from'")


def read_record(path: PathLike, *keys: str) -> Dict[str, Any]:
    """Read a JSON object that has `keys`, such as the figures of a stage. Raises ValueError with file and key."""
    record = read_json(path)
    if not isinstance(record, dict):
        raise ValueError(f"{path} is {json_name(record)}, expected an object; rerun the stage that writes it.")
    for key in keys:
        if key not in record:
            raise ValueError(f"{path} has no '{key}'; rerun the stage that writes it.")
    return record


@functools.lru_cache(maxsize=4096)
def _digest_of_version(path: str, size: int, mtime_ns: int, inode: int) -> str:
    # Size, time and inode are there so that a file that was written anew is read anew.
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of_file(path: PathLike, as_bytes: bool = False) -> str:
    """sha256 of a file's content; of a JSON file, of what it says. Each version of a file is read once a process.

    Args:
      as_bytes: take the bytes of a JSON file too, as records of earlier versions do.
    Raises:
      FileNotFoundError: if it is absent.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; run the stage that makes it first.")
    if path.suffix == ".json" and not as_bytes:
        return hashlib.sha256(canonical_json(read_json(path)).encode()).hexdigest()
    status = path.stat()
    return _digest_of_version(str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino)


def digest_of_lines(lines: Iterable[str]) -> str:
    """sha256 of lines joined by newlines."""
    digest, separator = hashlib.sha256(), b""
    for line in lines:
        digest.update(separator + line.encode())
        separator = b"\n"
    return digest.hexdigest()


def noting_files(made_from: Provenance, folder: PathLike, names: Iterable[str]) -> Provenance:
    """The same, with digests of the files that were made noted beside it."""
    made = {name: digest_of_file(Path(folder) / name, as_bytes=True) for name in names}
    return dataclasses.replace(made_from, noted={**made_from.noted, _MADE: made})


def changed_file(folder: PathLike, recorded: Provenance) -> Optional[Path]:
    """The first file that is not what was made, as its digest noted by `noting_files` says; None: there is none."""
    made = recorded.noted.get(_MADE)
    for name, digest in made.items() if isinstance(made, dict) else ():
        path = Path(folder) / name
        if path.is_file() and digest_of_file(path, as_bytes=True) != digest:
            return path
    return None


def require_as_made(record: PathLike, advice: str) -> None:
    """Raise ValueError if a file beside `record` is not the one that it tells of; no record: nothing is known."""
    recorded = Provenance.read_if_there(record)
    changed = None if recorded is None else changed_file(Path(record).parent, recorded)
    if changed is not None:
        raise ValueError(
            f"{changed} is not the file that {record} tells of: it was damaged or replaced; put it back, or {advice}."
        )


def set_aside(*paths: PathLike) -> List[Path]:
    """Rename what is out of date to `<name>.before-<time>`, since it may have taken days; absent ones are passed over.

    Returns:
      Where they are now.
    """
    suffix = time.strftime(".before-%Y-%m-%d_%H-%M-%S")
    moved = []
    for path in map(Path, paths):
        if os.path.lexists(path):
            target, count = path.with_name(path.name + suffix), 1
            while os.path.lexists(target):
                count += 1
                target = path.with_name(f"{path.name}{suffix}-{count}")
            path.rename(target)
            moved.append(target)
    return moved
