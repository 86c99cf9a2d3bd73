"""Recipe files: settings by section, either all of them or the differences to another recipe.

    {"description": "...", "based_on": "default", "train": {"num_epochs": 24}}

has everything else from `default.json`: beside it, or else that of the recipes that all corpora share. Sections are
merged setting by setting; a value that is not a section replaces that of the other recipe.
"""

from pathlib import Path
from typing import Any, Dict, Tuple, Union

from icefall_discrete import CONF_DIR
from icefall_discrete.base.json_files import read_json

BASED_ON = "based_on"
SHARED_DIR = CONF_DIR / "recipes"


def read_recipe(path: Union[str, Path]) -> Dict[str, Any]:
    """Sections of a recipe file, with those of the recipes that it is based on below them.

    Raises:
      FileNotFoundError: if the file does not exist.
      ValueError: if it, or one below it, is no JSON object, is based on an unknown recipe, or on itself.
    """
    return _read(Path(path), ())


def _read(path: Path, above: Tuple[Path, ...]) -> Dict[str, Any]:
    if path.resolve() in above:
        raise ValueError(f"{path} is based on itself; correct {BASED_ON} in {above[-1]}.")
    recipe = read_json(path)
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} holds {type(recipe).__name__}, expected an object with a section for each stage.")
    base = recipe.pop(BASED_ON, None)
    if base is None:
        return recipe
    merged = _read(base_file(base, path), (*above, path.resolve()))
    return _over(merged, recipe)


def _over(below: Dict[str, Any], above: Dict[str, Any]) -> Dict[str, Any]:
    """Two objects as one, setting by setting; an object of another kind replaces the one below it."""
    merged = dict(below)
    for name, value in above.items():
        old = below.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[name] = _over(old, value) if both and value.get("kind", old.get("kind")) == old.get("kind") else value
    return merged


def base_file(name: Any, path: Path) -> Path:
    """What `path` is based on: the recipe `name` beside it, or else the shared one, or else `name` as a file."""
    folders = (path.parent, SHARED_DIR)
    candidates = [*(folder / f"{name}.json" for folder in folders), path.parent / str(name)]
    found = [file for file in candidates if file.is_file()]
    if not found:
        known = sorted({file.stem for folder in folders for file in folder.glob("*.json")})
        raise ValueError(f"{path}: {BASED_ON} is '{name}'; known: {', '.join(known)}, or a file.")
    others = [file for file in found if file.resolve() != path.resolve()]  # the shared one of the same name is another
    return (others or found)[0]
