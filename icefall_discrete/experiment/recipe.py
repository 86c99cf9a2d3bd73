"""From a recipe file to the settings of a training run: a model size, overlaid by the file, overlaid by flags."""

from pathlib import Path
from typing import Any, Optional, Sequence

from icefall_discrete import CONF_DIR
from icefall_discrete.base.flags import ScriptParser, add_flags
from icefall_discrete.base.json_files import read_json
from icefall_discrete.experiment.recipe_files import read_layers
from icefall_discrete.systems.asr.settings import TrainSettings, check_sections


def add_setting_flags(parser: ScriptParser) -> None:
    """Add a flag for each setting of each section."""
    add_flags(parser, TrainSettings)


def model_size_file(name: str, conf_dirs: Sequence[Path]) -> Path:
    """Path of `models/<name>.json` in the recipe's configuration folders or else the package's, or `name` as a path.

    Raises:
      ValueError: if there is none; the known sizes are listed.
    """
    folders = [*(Path(folder) / "models" for folder in conf_dirs), CONF_DIR / "models"]
    for candidate in [*(folder / f"{name}.json" for folder in folders), Path(name)]:
        if candidate.is_file():
            return candidate
    known = sorted({path.stem for folder in folders for path in folder.glob("*.json")})
    raise ValueError(f"unknown model size '{name}'; known: {', '.join(known)}, or a path to a .json file.")


def read_settings(recipe_file: Path, model_size: Optional[str], conf_dirs: Sequence[Path], args: Any) -> TrainSettings:
    """Read a recipe file and apply flags.

    Args:
      recipe_file: JSON of sections, with `model_size` and settings that differ from it and from the defaults.
      model_size: overrides the recipe's `model_size`; None leaves it.
      conf_dirs: folders whose `models/` is searched before the package's.
      args: parsed flags of `add_setting_flags`.
    """
    layers = read_layers(recipe_file)
    for recipe, file in layers:
        check_sections(recipe, str(file))
    named = [recipe["model_size"] for recipe, _ in layers if "model_size" in recipe]
    size_file = model_size_file(model_size or (named or ["tiny"])[-1], conf_dirs)
    size = ({"model": read_json(size_file)}, str(size_file))
    return TrainSettings.from_layers([size, *((recipe, str(file)) for recipe, file in layers)]).overridden(args)
