#!/usr/bin/env python3
"""Plan what run.sh will do: its options on standard input, stages and commands on standard output (experiment/plan.py).

Any Python from 3.10 on can do it, without packages: mistakes are told before an environment is made.
"""

import importlib
import sys
from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.names import known_names
from icefall_discrete.base.registry import modules_in
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.environment_choice import python_of
from icefall_discrete.experiment.plan import (
    absent_input,
    check_folders,
    check_inputs,
    describe,
    joined,
    parted,
    records_of,
)
from icefall_discrete.experiment.run_options import Asked, RunOptions, choose

CODING = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--stages", help="whose: a module of experiment/stages, or else the recipe's system")
    parser.add_argument("--require-search", help="instead, end in an error if this environment lacks what it needs")
    return parser


def module_of(task: str, asked: Asked) -> str:
    """The module of a task's stages: one of its own, or else that of the system which the recipe names.

    Raises:
      ValueError: if there is neither.
    """
    known = modules_in("icefall_discrete.experiment.stages")
    own = task.lower()
    name = own if own in known else choose(asked.read(RunOptions)).recipe.get("system", task)
    if name not in known:
        raise ValueError(f"there are no stages of {name}; {known_names(sorted(known), str(name))}")
    return known[name]


def main() -> None:
    """Read, plan, check, and print what is to be done; or for a dry run, what would be."""
    args = get_parser().parse_args()
    if args.require_search:
        importlib.import_module("icefall_discrete.decoding.search").check_method(args.require_search)
        return
    sys.stdin.reconfigure(**CODING)
    sys.stdout.reconfigure(**CODING)
    asked = Asked.from_records(parted(sys.stdin.read()))
    plan = importlib.import_module(module_of(args.stages, asked)).plan(asked)
    if asked.values.get("dry_run") == "true":
        where = f"Commands run in {asked.here}, with {python_of(Path(asked.root), asked.values['env'])}"
        sys.stdout.write(joined([("print", where), ("print", describe(plan, asked.range))]))
        check_inputs(plan, asked.range)
        check_folders(plan, asked.range)
        absent = absent_input(plan, asked.range)
        sys.stdout.write(joined([*([("print", f"Not possible yet: {absent}")] if absent else []), ("leave",)]))
        return
    check_inputs(plan, asked.range)
    absent = absent_input(plan, asked.range)
    if absent:
        raise ValueError(absent)
    check_folders(plan, asked.range)
    sys.stdout.write(joined([*records_of(plan), ("shown", plan.shown)]))


if __name__ == "__main__":
    run_script(main)
