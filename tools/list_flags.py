#!/usr/bin/env python3
"""Write local/flags.json: the flags of the stages that run.sh runs, and the settings that each tokenizer has.

The planner checks options against it before any environment is made, and finds the stage that takes a flag. Run this
where a stage got another flag, or a tokenizer another setting; a test holds the file against the stages.
"""

import importlib
import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any, Dict, List

from icefall_discrete.base.addresses import readable
from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.places import Declaration, Place
from icefall_discrete.base.registry import modules_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import flag_name
from icefall_discrete.experiment.stage_flags import FLAGS_FILE, TOKENIZERS
from icefall_discrete.tokenizers import setting_names, tokenizer_names

LOCAL = Path(__file__).resolve().parents[1] / "local"
_KINDS = {None: "text", str: "text", int: "int", float: "float", bool: "bool", Path: "path", readable: "path"}


def parser_of(script: str, system: str) -> ScriptParser:
    """The parser of local/<script>.py, for a recipe of that system where its flags depend on it."""
    module_spec = importlib.util.spec_from_file_location(f"flags_of_{script}", LOCAL / f"{script}.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    takes_system = "system" in inspect.signature(module.get_parser).parameters
    return module.get_parser(system) if takes_system else module.get_parser()


def _allowed(declared: Declaration) -> Dict[str, Any]:
    allowed = {name: getattr(declared, name) for name in ("choices", "minimum", "above", "maximum")}
    allowed["choices"] = declared.kinds.names() if declared.kinds else allowed["choices"]
    return {name: value for name, value in allowed.items() if value is not None}


def _of_setting(place: Place) -> Dict[str, Any]:
    items = getattr(place.annotation, "__args__", ())
    kind = "list" if items else "path" if place.declared.is_path else _KINDS.get(place.annotation, "text")
    found = {"kind": kind, **({"items": _KINDS[items[0]]} if items else {}), **_allowed(place.declared)}
    marks = {"optional": place.is_optional, "distinct": place.declared.distinct, "kinds": place.is_choice}
    return {**found, **{name: True for name, holds in marks.items() if holds}}


def _of_settings(places: List[Place]) -> Dict[str, Any]:
    """What is allowed; where kinds of a choice differ in that, `each` of it, with the kinds `of` the `choice`."""
    each: List[Dict[str, Any]] = []
    for place in places:
        found = _of_setting(place)
        same = next((one for one in each if {**one, "of": None} == {**found, "of": None}), None)
        if same is None:
            same = {**found, "of": []}
            each.append(same)
        same["of"] += [kind for _, kind in place.of[-1:]]
    if len(each) == 1:
        return {name: value for name, value in each[0].items() if name != "of"}
    return {"kind": "any", "choice": flag_name(".".join(places[0].of[-1][0])), "each": each}


def _described(action: Any, places: List[Place]) -> Dict[str, Any]:
    """Kind, default and what is allowed of a flag."""
    default = re.search(r"\(default: ([^()]*)\)$", action.help or "")
    found: Dict[str, Any] = {"default": default[1]} if default else {}
    if places:
        return {**_of_settings(places), **found}
    if isinstance(action.type, Number):
        return {"kind": _KINDS[action.type.kind], **_allowed(action.type.declared), **found}
    choices = {"choices": list(action.choices)} if action.choices else {}
    return {"kind": _KINDS.get(action.type, "text"), **found, **choices}


def flags_of(parser: ScriptParser) -> Dict[str, Dict[str, Any]]:
    """Flags by name, without dashes in front; `short`: its other names; `formerly`: names that only recipes may use."""
    found: Dict[str, Dict[str, Any]] = {}
    for names, action, places in parser.known_flags():
        short = {"short": names[1:]} if len(names) > 1 else {}
        before = {name.replace("_", "-") for place in places for name in place.declared.formerly} - {*names}
        short.update({"formerly": sorted(before)} if before else {})
        found[names[0]] = {**_described(action, places), **short}
    return found


def listing() -> str:
    """The text of the file: by task, and script, a line for each flag; then a line for each tokenizer."""
    tasks = []
    for name, path in sorted(modules_in("icefall_discrete.experiment.stages").items()):
        task, scripts = importlib.import_module(path), []
        for script in sorted(task.SCRIPTS.values()):
            flags = flags_of(parser_of(script, task.SYSTEM)).items()
            lines = [f"      {json.dumps(flag)}: {json.dumps(facts)}" for flag, facts in flags]
            scripts.append(f"    {json.dumps(script)}: {{\n" + ",\n".join(lines) + "\n    }")
        tasks += [f"  {json.dumps(name)}: {{\n" + ",\n".join(scripts) + "\n  }"] if scripts else []
    tokenizers = [f"    {json.dumps(name)}: {json.dumps(setting_names(name))}" for name in tokenizer_names()]
    tasks.append(f"  {json.dumps(TOKENIZERS)}: {{\n" + ",\n".join(tokenizers) + "\n  }")
    return "{\n" + ",\n".join(tasks) + "\n}\n"


def main() -> None:
    """Write the file."""
    ScriptParser(__doc__).parse_args()
    write_text(LOCAL / FLAGS_FILE, listing())


if __name__ == "__main__":
    run_script(main)
