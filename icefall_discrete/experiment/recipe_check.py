"""What a recipe file says, held against what the stages take; no package is needed, so that it can come first."""

from pathlib import Path
from typing import Any, Mapping, Sequence

from icefall_discrete.base.json_files import as_json
from icefall_discrete.base.layered_json import BASED_ON
from icefall_discrete.base.names import known_names
from icefall_discrete.experiment.fitted_recipe import check_conditions
from icefall_discrete.experiment.recipe_files import FITTED_TO, WHEN, model_size_file, read_layers
from icefall_discrete.experiment.stage_flags import StageFlags

NOT_SECTIONS = ("system", "model_size", "description")
_OF_CONDITIONS = ("below_hours", "device", BASED_ON, "model_size")


def check_recipe(
    recipe_file: Path, flags: StageFlags, sections: Mapping[str, str], conf_dirs: Sequence[Path] = ()
) -> None:
    """Raise ValueError, with the file and the setting, for what no stage would take; of the recipes below it too.

    Args:
      sections: of a recipe, with the stage that reads each. conf_dirs: where model sizes are looked for first.
    """
    for said, file in read_layers(recipe_file):
        recipe = {name: value for name, value in said.items() if name not in (WHEN, FITTED_TO)}
        for condition in check_conditions(said.get(WHEN, []), file):
            for name in {*condition} & {*sections}:
                _check_section(name, sections[name], condition[name], flags, f"{file}: '{WHEN}'")
            for name in {*condition} - {*sections, *_OF_CONDITIONS}:
                known = (*_OF_CONDITIONS, *sections)
                raise ValueError(f"{file}: unknown key {name} in '{WHEN}'; {known_names(known, name)}")
        for name, value in recipe.items():
            if name in sections:
                _check_section(name, sections[name], value, flags, str(file))
            elif name not in NOT_SECTIONS:
                raise ValueError(f"{file}: unknown section {name}; {known_names((*sections, *NOT_SECTIONS), name)}")
            elif not isinstance(value, str):
                raise ValueError(f"{file}: '{name}' is {as_json(value)}, expected text; correct the file.")
        if "model_size" in recipe:
            _check_size(recipe["model_size"], conf_dirs, file)


def _check_section(name: str, stage: str, value: Any, flags: StageFlags, where: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: section '{name}' is {as_json(value)}, expected an object of settings")
    flags.check_section(stage, name, value, where)


def _check_size(name: str, conf_dirs: Sequence[Path], where: Path) -> None:
    try:
        model_size_file(name, conf_dirs)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
