"""The flags of stages, as local/flags.json lists them: which stage takes a flag, and which values."""

import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.names import did_you_mean

FLAGS_FILE = "flags.json"
_PATTERNS = {
    "int": (r"[+-]?\d+", "a whole number"),
    "float": (r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", "a number"),
    "bool": (r"1|0|true|false|yes|no|y|n|t|f", "true or false"),
}

PassedFlags = Dict[str, Dict[str, str]]  # values by flag, by stage


def dashed(name: str) -> str:
    """A flag as command lines have it."""
    return name.replace("_", "-")


class StageFlags:
    """The flags of a task's stages.

    Args:
      path: local/flags.json.
      scripts: the script in local/ of each stage, by the stage's name.
    """

    def __init__(self, path: Path, scripts: Mapping[str, str]) -> None:
        listed = read_json(path)
        self._flags: Dict[str, Dict[str, Dict[str, Any]]] = {stage: listed[name] for stage, name in scripts.items()}

    def names(self, stage: str) -> List[str]:
        """The flags of a stage, without dashes in front."""
        return list(self._flags[stage])

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
        name = dashed(written)
        stage, dot, flag = name.partition(".")
        if dot and stage in self._flags:
            if flag not in self._flags[stage]:
                hint = did_you_mean(flag, self._flags[stage], f"--{stage}.")
                raise ValueError(f"unknown option --{name}, {hint or f'stage {stage} has no flag --{flag}'}")
            return stage, flag
        owners = [stage for stage in stages if name in self._flags[stage]]
        if len(owners) > 1:
            ways = " or ".join(f"--{owner}.{name}" for owner in owners)
            raise ValueError(f"--{name} is a flag of the stages {', '.join(owners)}; say which is meant: {ways}")
        if not owners:
            hint = did_you_mean(name, map(dashed, options), "--")
            hint = hint or did_you_mean(name, (known for stage in stages for known in self._flags[stage]), "--")
            elsewhere = [f"--{other}.{name}" for other in self._flags if name in self._flags[other]]
            hint = hint or (f"a flag of a stage that this run does not have: {elsewhere[0]}" if elsewhere else "")
            raise ValueError(f"unknown option --{name}" + (f", {hint}" if hint else ""))
        return owners[0], name
