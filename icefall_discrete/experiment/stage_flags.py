"""The flags of stages, as local/flags.json lists them: which stage takes a flag, and which values."""

import operator
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.names import did_you_mean

FLAGS_FILE = "flags.json"
_PATTERNS = {
    "int": (r"[+-]?\d+", "a whole number"),
    "float": (r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", "a number"),
    "bool": (r"1|0|true|false|yes|no|y|n|t|f", "true or false"),
}

_RANGES: Dict[str, Callable[[float, float], bool]] = {
    "minimum": operator.ge,
    "above": operator.gt,
    "maximum": operator.le,
}
_WORDS = {"minimum": "at least", "above": "a number above", "maximum": "at most"}

PassedFlags = Dict[str, Dict[str, str]]  # values by flag, by stage


def dashed(name: str) -> str:
    """A flag as command lines have it."""
    return name.replace("_", "-")


class StageFlags:
    """The flags of a task's stages. A flag of several names is known by its first short one.

    Args:
      path: local/flags.json. task: whose stages, a module of `stages/`.
      scripts: the script in local/ of each stage, by the stage's name.
    """

    def __init__(self, path: Path, task: str, scripts: Mapping[str, str]) -> None:
        listed = read_json(path)[task]
        self._flags: Dict[str, Dict[str, Dict[str, Any]]] = {}
        self._named: Dict[str, Dict[str, str]] = {}  # by stage and any of its names, what the flag is known by
        for stage, script in scripts.items():
            names = {long: (flag.get("short", []) or [long])[0] for long, flag in listed[script].items()}
            self._flags[stage] = {names[long]: flag for long, flag in listed[script].items()}
            short = {other: names[long] for long, flag in listed[script].items() for other in flag.get("short", [])}
            self._named[stage] = {**names, **short}

    def names(self, stage: str) -> List[str]:
        """All names of the flags of a stage, without dashes in front."""
        return list(self._named[stage])

    def default(self, stage: str, flag: str) -> str:
        """The default of a flag, as its help shows it."""
        return self._flags[stage][flag]["default"]

    def check(self, stage: str, flag: str, value: str, shown: str) -> None:
        """Raise ValueError unless the stage's flag takes `value`; `shown` is the flag as the user wrote it."""
        found = self._flags[stage][flag]
        choices = found.get("choices")
        if choices and value not in map(str, choices):
            hint = f"expected one of {', '.join(map(str, choices))}; {did_you_mean(value, map(str, choices))}"
            raise ValueError(f"--{shown} is '{value}', {hint.removesuffix('; ')}")
        pattern, expected = _PATTERNS.get(found["kind"], ("", ""))
        if pattern and not re.fullmatch(pattern, value.strip().lower()):
            raise ValueError(f"--{shown} is '{value}', expected {expected}")
        for word, holds in _RANGES.items():
            if word in found and found["kind"] in ("int", "float") and not holds(float(value), found[word]):
                raise ValueError(f"--{shown} is {value}, expected {_WORDS[word]} {found[word]:g}")

    def typed(self, stage: str, flag: str, value: str) -> Any:
        """The value of a flag of the stage, checked before, as a setting: a number, true or false, a list, or text."""
        kind = self._flags[stage][flag]["kind"]
        if kind == "bool":
            return value.strip().lower()[0] in "1ty"
        if kind == "list":
            return [part for part in value.replace(" ", ",").split(",") if part]
        return {"int": int, "float": float}.get(kind, str)(value)

    def check_section(self, stage: str, section: str, keys: Iterable[str], where: str) -> None:
        """Raise ValueError if a recipe's section has what is near to a flag of the stage that reads it, but is none.

        Of other unknown settings the stage itself tells: it may know names of before.
        """
        known = [name.replace("-", "_") for name in self.names(stage)]
        for key in keys:
            hint = did_you_mean(key, known)
            if hint and key not in known and not any(name.startswith(f"{key}.") for name in known):
                raise ValueError(f"{where}: unknown setting '{key}' in section {section}; {hint}")

    def assign(self, passed: Sequence[Tuple[str, str]], stages: Sequence[str], options: Sequence[str]) -> PassedFlags:
        """Give each flag that run.sh does not know to the stage that takes it.

        Args:
          passed: flags without dashes in front, with their values; `<stage>.<flag>` names the stage.
          stages: names of the stages that this run has; others are asked for by `<stage>.<flag>` only.
          options: the options of run.sh, for suggestions.
        Raises:
          ValueError: for a flag that no stage, or more than one, takes, and a value that it does not take.
        """
        assigned: PassedFlags = {}
        for written, value in passed:
            stage, flag = self._owner(written, stages, options)
            self.check(stage, flag, value, dashed(written))
            assigned.setdefault(stage, {})[flag] = value
        return assigned

    def _owner(self, written: str, stages: Sequence[str], options: Sequence[str]) -> Tuple[str, str]:
        """The stage that takes a flag, and the name that the stage knows it by."""
        name = dashed(written)
        stage, dot, rest = name.partition(".")
        if dot and rest in self._named.get(stage, {}):
            return stage, self._named[stage][rest]
        owners = [one for one in stages if name in self._named[one]]
        if len(owners) == 1:
            return owners[0], self._named[owners[0]][name]
        if owners:
            ways = " or ".join(f"--{owner}.{name}" for owner in owners)
            raise ValueError(f"--{name} is a flag of the stages {', '.join(owners)}; say which is meant: {ways}")
        hint = did_you_mean(rest, self._named.get(stage, {}), f"--{stage}.") if dot else ""
        hint = hint or did_you_mean(name, map(dashed, options), "--")
        hint = hint or did_you_mean(name, (known for one in stages for known in self._named[one]), "--")
        elsewhere = [f"--{other}.{name}" for other in self._named if name in self._named[other]]
        hint = hint or (f"a flag of a stage that this run does not have: {elsewhere[0]}" if elsewhere else "")
        raise ValueError(f"unknown option --{name}" + (f", {hint}" if hint else ""))
