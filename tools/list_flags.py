#!/usr/bin/env python3
"""Write local/flags.json: the flags of the stages that run.sh runs, with kind, default and choices.

The planner checks options against it before any environment is made, and finds the stage that takes a flag. Run this
where a stage got another flag; a test holds the file against the stages.
"""

import importlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, Dict, Set

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import ScriptParser, parse_bool
from icefall_discrete.base.registry import modules_in
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.stage_flags import FLAGS_FILE

LOCAL = Path(__file__).resolve().parents[1] / "local"
_KINDS = {None: "text", str: "text", int: "int", float: "float", Path: "path", parse_bool: "bool"}


def parser_of(script: str) -> ScriptParser:
    """The parser of local/<script>.py."""
    module_spec = importlib.util.spec_from_file_location(f"flags_of_{script}", LOCAL / f"{script}.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.get_parser()


def flags_of(parser: ScriptParser) -> Dict[str, Dict[str, Any]]:
    """Flags by name, without dashes in front; a setting's default is that of its help text, as it is not given."""
    found: Dict[str, Dict[str, Any]] = {}
    for action in parser._actions:
        if action.dest == "help":
            continue
        flag: Dict[str, Any] = {"kind": _KINDS.get(action.type, "list")}
        default = re.search(r"\(default: (.*)\)$", action.help or "")
        if default:
            flag["default"] = default[1]
        if action.choices:
            flag["choices"] = list(action.choices)
        found.update({name[2:]: flag for name in action.option_strings})
    return found


def scripts() -> Set[str]:
    """Names of the scripts that the stages of some task run."""
    tasks = [importlib.import_module(path) for path in modules_in("icefall_discrete.experiment.stages").values()]
    return {script for task in tasks for script in task.SCRIPTS.values()}


def listing() -> str:
    """The text of the file: a line for each flag."""
    parts = []
    for script in sorted(scripts()):
        lines = [f"    {json.dumps(name)}: {json.dumps(flag)}" for name, flag in flags_of(parser_of(script)).items()]
        parts.append(f"  {json.dumps(script)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Write the file."""
    ScriptParser(__doc__).parse_args()
    write_text(LOCAL / FLAGS_FILE, listing())


if __name__ == "__main__":
    run_script(main)
