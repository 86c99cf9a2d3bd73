#!/usr/bin/env python3
"""Print a recipe with everything that it is based on, as JSON."""

import json
from pathlib import Path

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.recipe_files import read_recipe


def main() -> None:
    """Read, merge, print."""
    parser = ScriptParser(__doc__)
    parser.add_argument("recipe_config", type=Path, help="recipe file, such as conf/recipes/full.json")
    print(json.dumps(read_recipe(parser.parse_args().recipe_config), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    run_script(main)
