#!/usr/bin/env python3
"""Print a recipe with everything that it is based on, as JSON, if a run would take it; what is printed is a recipe."""

import importlib
import json
from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.names import known_names
from icefall_discrete.base.registry import modules_in
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.recipe import whole_recipe
from icefall_discrete.experiment.recipe_check import check_recipe
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.experiment.stage_flags import FLAGS_FILE, StageFlags
from icefall_discrete.systems import DEFAULT_SYSTEM


def main() -> None:
    """Read, merge, check, print."""
    parser = ScriptParser(__doc__)
    parser.add_argument("recipe_config", type=Path, help="recipe file, such as conf/recipes/full.json")
    file = parser.parse_args().recipe_config
    recipe = read_recipe(file)
    system, known = recipe.get("system", DEFAULT_SYSTEM), modules_in("icefall_discrete.experiment.stages")
    if system not in known:
        raise ValueError(f"{file}: there are no stages of {system}; {known_names(sorted(known), str(system))}")
    task = importlib.import_module(known[system])
    check_recipe(file, StageFlags(Path(__file__).with_name(FLAGS_FILE), system, task.SCRIPTS), task.SECTIONS)
    print(
        json.dumps(whole_recipe(file, [file.parents[1]] if len(file.parents) > 1 else []), indent=2, ensure_ascii=False)
    )


if __name__ == "__main__":
    run_script(main)
