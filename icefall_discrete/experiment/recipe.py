"""From a recipe file to the settings of a training run: a model size, overlaid by the file, overlaid by flags."""

import dataclasses
import typing
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Set, Type

from icefall_discrete.base.flags import ScriptParser, add_flags
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.layered_json import Layer
from icefall_discrete.base.places import by_short_name, default_of, every_kind, walk
from icefall_discrete.experiment.fitted_recipe import Facts, fitted_layers
from icefall_discrete.experiment.recipe_files import DEFAULT_SIZE, model_size_file, read_recipe
from icefall_discrete.systems.contract import known_systems, stages_of, system_stages
from icefall_discrete.systems.training_settings import TrainSettings


def add_setting_flags(parser: ScriptParser, settings: Type[TrainSettings]) -> None:
    """Add a flag for each setting of each section of a system."""
    add_flags(parser, settings)


def _size_of(settings: Type[TrainSettings], size: Mapping[str, Any]) -> Dict[str, Any]:
    """What of a model size a system has: a size is one of every system, and each has parts of its own."""

    def parts(one: Type[TrainSettings]) -> Set[str]:
        model = typing.get_type_hints(one)["model"]
        short = by_short_name(list(walk(model, default_of(model), every_kind)))  # as flat files of before have them
        return {*short, *(field.name for field in dataclasses.fields(model))}

    others = {name for other in known_systems() for name in parts(system_stages(other).settings)}
    return {name: value for name, value in size.items() if name not in others - parts(settings)}


def read_settings(
    recipe_file: Path, model_size: Optional[str], conf_dirs: Sequence[Path], args: Any, facts: Optional[Facts] = None
) -> TrainSettings:
    """Read a recipe file and apply flags.

    Args:
      recipe_file: JSON of sections, with `model_size` and settings that differ from it and from the defaults.
      model_size: overrides the recipe's `model_size`; None leaves it.
      conf_dirs: folders whose `models/` is searched before the package's.
      args: parsed flags of `add_setting_flags`. facts: what the recipe may fit itself to; None: it does not.
    """
    return _settings_of(fitted_layers(recipe_file, facts), recipe_file, model_size, conf_dirs).overridden(args)


def _settings_of(
    layers: Sequence[Layer], recipe_file: Path, model_size: Optional[str], conf_dirs: Sequence[Path]
) -> TrainSettings:
    try:
        settings = stages_of(read_recipe(recipe_file)).settings
    except ValueError as error:
        raise ValueError(f"{recipe_file}: {error}") from None
    for recipe, file in layers:
        settings.check_sections(recipe, str(file))
    named = [recipe["model_size"] for recipe, _ in layers if "model_size" in recipe]
    size_file = model_size_file(model_size or (named or [DEFAULT_SIZE])[-1], conf_dirs)
    size = ({"model": _size_of(settings, read_object(size_file, "the settings of a model"))}, str(size_file))
    return settings.from_layers([size, *((recipe, str(file)) for recipe, file in layers)])


def whole_recipe(recipe_file: Path, conf_dirs: Sequence[Path] = ()) -> Dict[str, Any]:
    """A recipe with all that it is based on, which as a file of its own gives the same settings.

    Sections are merged as `read_recipe` does it; those of training that would then mean something else, such as what is
    said of an encoder in whose place another one was chosen, have all of their settings instead.
    """
    merged = read_recipe(recipe_file)
    settings = _settings_of(fitted_layers(recipe_file, None), recipe_file, None, conf_dirs)
    try:
        is_same = _settings_of([(merged, recipe_file)], recipe_file, None, conf_dirs) == settings
    except ValueError:
        is_same = False
    if is_same:
        return merged
    return {**merged, **{name: values for name, values in settings.to_dict().items() if name in merged}}
