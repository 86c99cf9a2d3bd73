"""The flags of stages, as local/flags.json lists them: which stage takes a flag, and which values.

The file is made from what the owners of the settings declare, so that kinds and ranges are theirs; with it, settings
can be checked without the packages that their owners need.
"""

import contextlib
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from icefall_discrete.base.device import check_name
from icefall_discrete.base.flags import parsed
from icefall_discrete.base.json_files import as_json, json_name, read_json
from icefall_discrete.base.names import did_you_mean, known_names
from icefall_discrete.base.places import MISSING, Declaration, Place
from icefall_discrete.base.settings import FLAG, KIND, refusal

FLAGS_FILE, TOKENIZERS = "flags.json", "tokenizers"
_ITEMS: Dict[str, Any] = {"int": int, "float": float, "bool": bool, "text": str, "path": str}
_LISTS: Dict[str, Any] = {"int": Tuple[int, ...], "float": Tuple[float, ...], "text": Tuple[str, ...]}
_ALLOWED = ("choices", "minimum", "above", "maximum")

# Flags of icefall's recipes that have no namesake here, and what does their work where a recipe has it.
OF_ICEFALL = {
    "use-fp16": "--precision fp16",
    "use-bf16": "--precision bf16",
    "use-ctc": "--ctc-loss-scale, above 0",
    "use-transducer": "--transducer-loss-scale, above 0",
    "use-attention-decoder": "--attention-decoder-loss-scale, above 0",
    "use-cr-ctc": "--cr-loss-scale, above 0",
    "bpe-model": "--vocab-size, of the pieces that stage 5 makes and an experiment holds",
    "manifest-dir": "--data-dir",
    "start-batch": "unneeded: stage 6 goes on from its last checkpoint",
    "do-finetune": "--init-from",
    "finetune-ckpt": "--init-from",
    "use-mux": "--mux-dir",
    "wandb": "--tracker wandb",
    "use-shallow-fusion": "--lm",
    "tokens-ngram": "--lodr",
}

PassedFlags = Dict[str, Dict[str, str]]  # values by flag, by stage


def dashed(name: str) -> str:
    """A flag as command lines have it."""
    return name.replace("_", "-")


def _place(facts: Mapping[str, Any], names: Sequence[str]) -> Place:
    """A flag as the setting that it is of; `names` as a message should call it."""
    kind = facts["kind"]
    annotation = _LISTS[facts["items"]] if kind == "list" else _ITEMS[kind]
    allowed = {name: facts[name] for name in _ALLOWED if name in facts}
    declared = Declaration(**allowed, distinct=facts.get("distinct", False))
    return Place(tuple(names), Declaration, annotation, facts.get("optional", False), declared, MISSING, ())


def _takes(place: Place, value: Any) -> bool:
    try:
        place.fitted(value)
    except ValueError:
        return False
    return True


def check_feature_type(listed: Mapping[str, Sequence[str]], values: Any, where: str) -> None:
    """Raise ValueError unless a tokenizer takes the settings of a feature type, the JSON value of the file `where`.

    Args:
      listed: what local/flags.json says of tokenizers: the names of the settings of each.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where} holds {json_name(values)}, expected an object with a 'tokenizer'; correct the file.")
    tokenizer = values.get("tokenizer")
    if not isinstance(tokenizer, str) or tokenizer not in listed:
        said = f"unknown tokenizer {as_json(tokenizer)}" if "tokenizer" in values else "it names no 'tokenizer'"
        raise ValueError(f"{where}: {said}; {known_names(sorted(listed), str(tokenizer or ''))}")
    for key in values:
        if key != "tokenizer" and key not in listed[tokenizer]:
            known = known_names(listed[tokenizer], key) if listed[tokenizer] else "it has none."
            raise ValueError(f"{where}: unknown setting '{key}' of tokenizer {tokenizer}; {known}")


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
        self._long: Dict[str, Dict[str, Dict[str, Any]]] = {}  # by stage and dotted name
        for stage, script in scripts.items():
            self._long[stage] = listed[script]
            names = {long: (flag.get("short", []) or [long])[0] for long, flag in listed[script].items()}
            self._flags[stage] = {names[long]: flag for long, flag in listed[script].items()}
            short = {other: names[long] for long, flag in listed[script].items() for other in flag.get("short", [])}
            self._named[stage] = {**names, **short}

    def names(self, stage: str) -> List[str]:
        """All names of the flags of a stage, without dashes in front."""
        return list(self._named[stage])

    def kind(self, stage: str, flag: str) -> str:
        """What a flag holds: int, float, bool, text, path, list, or any, where that depends on another one."""
        kind: str = self._flags[stage][flag]["kind"]
        return kind

    def default(self, stage: str, flag: str) -> str:
        """The default of a flag, as its help shows it."""
        return self._flags[stage][flag]["default"]

    def check(self, stage: str, flag: str, value: str, shown: str) -> Any:
        """The value of a flag as a setting: a number, true or false, a tuple, or text; `shown` is the flag as written.

        Raises ValueError unless the stage's flag takes it.
        """
        facts = self._flags[stage][flag]
        if "each" in facts:
            return self._check_each(facts, value, shown)
        place = _place(facts, [shown])
        read = parsed(place, value)
        try:
            fitted = place.fitted(read)
            if flag == "device":
                check_name(fitted)
        except ValueError:
            expected = "" if flag != "device" or "choices" in facts else "cpu, cuda, cuda:N or auto"
            message = f"{FLAG}{shown} is '{value}', expected {expected}." if expected else refusal(place, value, FLAG)
            raise ValueError(message) from None
        return fitted

    @staticmethod
    def _check_each(facts: Mapping[str, Any], value: str, shown: str) -> Any:
        """The value of a flag that kinds of a choice read differently, as the first one reads it that takes it."""
        places = [_place(one, [shown]) for one in facts["each"]]
        for place in places:
            with contextlib.suppress(ValueError):
                return place.fitted(parsed(place, value))
        kinds = [", ".join(one["of"]) for one in facts["each"]]
        expected = [place.expected("{}, separated by commas") for place in places]
        ways = "; or ".join(f"{said} (for {named})" for said, named in zip(expected, kinds))
        raise ValueError(f"{FLAG}{shown} is '{value}', expected {ways}.")

    def check_of_kinds(self, stage: str, given: Mapping[str, str], kinds: Callable[[str], Optional[str]]) -> None:
        """Raise ValueError for a flag of a stage whose value the chosen kind does not take, though another one would.

        Args:
          given: values by flag. kinds: the chosen kind of a choice, such as `model.encoder`; None: not known.
        """
        for flag, value in given.items():
            facts = self._flags[stage][flag]
            for one in facts.get("each", ()):
                place, chosen = _place(one, [flag]), kinds(facts["choice"])
                if chosen in one["of"] and not _takes(place, parsed(place, value)):
                    raise ValueError(f"{refusal(place, value, FLAG).rstrip('.')}, as {facts['choice']} is {chosen}.")

    def check_section(self, stage: str, section: str, values: Mapping[str, Any], where: str) -> None:
        """Raise ValueError for a setting that the reader of a recipe's section does not know, or a value it refuses.

        Args:
          stage: the one that reads the section. where: the file, for messages.
        """
        self._check_object(stage, (section,), values, where)

    def _check_object(self, stage: str, above: Tuple[str, ...], values: Mapping[str, Any], where: str) -> None:
        known = {
            name: flag for name, flag in self._long[stage].items() if name.startswith(dashed(".".join(above)) + ".")
        }
        for key, value in values.items():
            path = (*above, key)
            name = dashed(".".join(path))
            if key == KIND and name not in known:
                continue  # looked at with the choice itself
            holds_others = any(one.startswith(f"{name}.") for one in known)
            if name in known and not (holds_others and isinstance(value, Mapping)):
                self._check_value(known[name], path, value, where)
            elif name in known or holds_others:
                self._check_inner(stage, path, value, where)
            else:
                self._check_short(known, path, value, where)

    def _check_inner(self, stage: str, path: Tuple[str, ...], value: Any, where: str) -> None:
        facts = self._long[stage].get(dashed(".".join(path)), {})
        if not isinstance(value, Mapping):
            if value is None:
                return  # of sections that may be absent the stage knows
            raise ValueError(
                f"{where}: setting '{'.'.join(path)}' is {json_name(value)}, expected an object with settings; "
                "correct the file."
            )
        if KIND in value and facts:
            self._check_value(facts, path, value[KIND], where)
        self._check_object(stage, path, value, where)

    def _check_short(
        self, known: Mapping[str, Mapping[str, Any]], path: Tuple[str, ...], value: Any, where: str
    ) -> None:
        """Of a key that stands for a setting further below, by the last of its names or a former one."""
        key = dashed(path[-1])
        meant = [name for name in known if name.rpartition(".")[2] == key or key in known[name].get("short", [])]
        if len(meant) == 1:
            self._check_value(known[meant[0]], path, value, where)
        elif not meant and not any(key in facts.get("formerly", []) for facts in known.values()):
            names = {name.rpartition(".")[2].replace("-", "_") for name in known}
            hint = did_you_mean(path[-1], names)
            listed = f"known: {', '.join(sorted(names))}" if names else "it has none"
            section = ".".join(path[:-1])
            raise ValueError(
                f"{where}: unknown setting '{path[-1]}' in section {section}; {f'{hint} ' if hint else ''}{listed}."
            )

    @staticmethod
    def _check_value(facts: Mapping[str, Any], path: Tuple[str, ...], value: Any, where: str) -> None:
        if value is None and facts.get("kinds"):
            return
        places = [_place(one, path) for one in facts.get("each", [facts])]
        if any(_takes(place, value) for place in places):
            return
        choices, expected = places[0].declared.choices or (), "; or ".join(place.expected() for place in places)
        hint = did_you_mean(value, map(str, choices)) if isinstance(value, str) else ""
        raise ValueError(
            f"{where}: setting '{'.'.join(path)}' is {as_json(value)}, expected {expected}; "
            f"{hint or 'correct the file.'}"
        )

    def assign(self, passed: Sequence[Tuple[str, str]], stages: Sequence[str], options: Sequence[str]) -> PassedFlags:
        """Give each flag that run.sh does not know to the stage that takes it.

        Args:
          passed: flags without dashes in front, with their values; `<stage>.<flag>` names the stage.
          stages: names of the stages that this run has; others are asked for by `<stage>.<flag>` only.
          options: the options of run.sh that mean something to the recipe, for suggestions.
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
        elsewhere = [f"--{other}.{name}" for other in self._named if name in self._named[other]]
        hint = hint or (f"a flag of a stage that this run does not have: {elsewhere[0]}" if elsewhere else "")
        hint = hint or self._of_icefall(name, stages, options)
        hint = hint or did_you_mean(name, map(dashed, options), "--")
        hint = hint or did_you_mean(name, (known for one in stages for known in self._named[one]), "--")
        raise ValueError(f"unknown option --{name}" + (f", {hint}" if hint else "; --help lists those of run.sh"))

    def _of_icefall(self, name: str, stages: Sequence[str], options: Sequence[str]) -> str:
        """What does the work of a flag of icefall; empty: it is none, or this recipe has nothing of the kind."""
        meant = OF_ICEFALL.get(name, "")
        known = {*map(dashed, options), *(flag for stage in stages for flag in self._named[stage])}
        named = re.findall(r"--([a-z-]+)", meant)
        return f"icefall's; here that is {meant}" if meant and known.issuperset(named) else ""
