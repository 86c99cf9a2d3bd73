"""Recipe files: settings by section, either all of them or the differences to another recipe.

    {"description": "...", "based_on": "default", "train": {"num_epochs": 24}}

has everything else from `default.json`: beside it, or else that of the recipes that all corpora share. Sections are
merged setting by setting; a value that is not a section replaces that of the other recipe.
"""

from pathlib import Path
from typing import Any, Dict, List, Sequence, Union

from icefall_discrete import CONF_DIR
from icefall_discrete.base.json_files import json_name
from icefall_discrete.base.layered_json import Layer, find_base, overlaid, read_based_layers
from icefall_discrete.base.names import known_names

WHEN = "when"  # of fitted_recipe.py
FITTED_TO = "fitted_to"
SHARED_DIR = CONF_DIR / "recipes"
DEFAULT_SIZE = "tiny"  # of a model, where neither recipe nor flag names one


def read_recipe(path: Union[str, Path]) -> Dict[str, Any]:
    """Sections of a recipe file, with those of the recipes that it is based on below them.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if it, or one below it, is no JSON object, is based on an unknown recipe, or on itself.
    """
    merged: Dict[str, Any] = {}
    for recipe, _ in read_layers(path):
        merged = overlaid(merged, {key: value for key, value in recipe.items() if key not in (WHEN, FITTED_TO)})
    return merged


def read_layers(path: Union[str, Path]) -> List[Layer]:
    """The recipes that `read_recipe` puts together, with their files; each stands above those before it."""
    return read_based_layers(Path(path), base_file, "a section for each stage")


def model_size_file(name: str, conf_dirs: Sequence[Path]) -> Path:
    """Path of `models/<name>.json` in the recipe's configuration folders or else the package's, or `name` as a path.

    Raises:
      ValueError: if there is none; the known sizes are listed.
    """
    if not isinstance(name, str):
        raise ValueError(f"model_size is {json_name(name)}, expected the name of a size or a path to a .json file.")
    folders = [*(Path(folder) / "models" for folder in conf_dirs), CONF_DIR / "models"]
    for candidate in [*(folder / f"{name}.json" for folder in folders), Path(name)]:
        if candidate.is_file():
            return candidate
    known = sorted({path.stem for folder in folders for path in folder.glob("*.json")})
    listed = known_names(known, name).rstrip(".")
    raise ValueError(f"unknown model size '{name}'; {listed}, or a path to a .json file.")


def base_file(name: Any, path: Path) -> Path:
    """What `path` is based on: the recipe `name` beside it, or else the shared one, or else `name` as a file."""
    return find_base(name, path, (path.parent, SHARED_DIR))
