#!/usr/bin/env python3
"""Write local/flags.json: the flags of the stages that run.sh runs, with kind, default and choices.

The planner checks options against it before any environment is made, and finds the stage that takes a flag. Run this
where a stage got another flag; a test holds the file against the stages.
"""

import importlib
import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any, Dict, List

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.places import Place
from icefall_discrete.base.registry import modules_in
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.stage_flags import FLAGS_FILE

LOCAL = Path(__file__).resolve().parents[1] / "local"
_KINDS = {None: "text", str: "text", int: "int", float: "float", bool: "bool", Path: "path"}


def parser_of(script: str, system: str) -> ScriptParser:
    """The parser of local/<script>.py, for a recipe of that system where its flags depend on it."""
    module_spec = importlib.util.spec_from_file_location(f"flags_of_{script}", LOCAL / f"{script}.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.get_parser(system) if inspect.signature(module.get_parser).parameters else module.get_parser()


def _described(action: Any, places: List[Place]) -> Dict[str, Any]:
    """Kind, default and what is allowed of a flag; where kinds of a choice share it, of any of them."""
    default = re.search(r"\(default: ([^()]*)\)$", action.help or "")
    found: Dict[str, Any] = {"default": default[1]} if default else {}
    if not places:
        choices = {"choices": list(action.choices)} if action.choices else {}
        return {"kind": _KINDS.get(action.type, "text"), **found, **choices}
    declared = places[0].declared
    kinds = {_KINDS.get(place.annotation, "text" if place.is_choice else "list") for place in places}
    found = {"kind": kinds.pop() if len(kinds) == 1 else "text", **found}
    allowed = {name: getattr(declared, name) for name in ("choices", "minimum", "above", "maximum")}
    allowed["choices"] = declared.kinds.names() if declared.kinds else allowed["choices"]
    return {**found, **{name: value for name, value in allowed.items() if value is not None and len(places) == 1}}


def flags_of(parser: ScriptParser) -> Dict[str, Dict[str, Any]]:
    """Flags by name, without dashes in front; `short`: its other names."""
    found: Dict[str, Dict[str, Any]] = {}
    for names, action, places in parser.known_flags():
        short = {"short": names[1:]} if len(names) > 1 else {}
        found[names[0]] = {**_described(action, places), **short}
    return found


def listing() -> str:
    """The text of the file: by task, and script, a line for each flag."""
    tasks = []
    for name, path in sorted(modules_in("icefall_discrete.experiment.stages").items()):
        task, scripts = importlib.import_module(path), []
        for script in sorted(task.SCRIPTS.values()):
            flags = flags_of(parser_of(script, task.SYSTEM)).items()
            lines = [f"      {json.dumps(flag)}: {json.dumps(facts)}" for flag, facts in flags]
            scripts.append(f"    {json.dumps(script)}: {{\n" + ",\n".join(lines) + "\n    }")
        tasks += [f"  {json.dumps(name)}: {{\n" + ",\n".join(scripts) + "\n  }"] if scripts else []
    return "{\n" + ",\n".join(tasks) + "\n}\n"


def main() -> None:
    """Write the file."""
    ScriptParser(__doc__).parse_args()
    write_text(LOCAL / FLAGS_FILE, listing())


if __name__ == "__main__":
    run_script(main)
