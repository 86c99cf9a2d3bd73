"""Recipes that fit themselves to the corpus and the machine.

    {"when": [{"below_hours": 10, "based_on": "small_corpus"}, {"device": "cpu", "train": {"precision": "fp32"}}], ...}

Each condition that holds puts its settings, of the stage that trains, right above those of the recipe that states it:
what a recipe that is based on that one says, and flags, come before. It is asked once: the recipe.json of an experiment
notes the hours and the device.
"""

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional

from icefall_discrete.base.json_files import as_json, read_object
from icefall_discrete.base.layered_json import BASED_ON, Layer, overlaid
from icefall_discrete.base.names import known_names
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.provenance import flat
from icefall_discrete.base.settings import check_settings, from_dict, setting, to_dict
from icefall_discrete.experiment.recipe_files import FITTED_TO, WHEN, base_file, read_layers

# Sections that stages before and after training read, which do not know the hours.
_OF_OTHER_STAGES = ("bpe", "average", "decode", "description", "system")
_CONDITIONS = ("below_hours", "device")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a recipe may fit itself to."""

    hours: float = setting(0.0, "audio of the training split without copies at other speeds", minimum=0)
    device: str = setting("cpu", "where it is trained", choices=("cpu", "cuda"))

    def __post_init__(self) -> None:
        check_settings(self)


def known_facts(recipe_json: Path) -> Optional[Facts]:
    """What the recipe of an experiment was fitted to when it began; None if it was not."""
    noted = read_object(recipe_json).get(FITTED_TO) if recipe_json.is_file() else None
    return None if noted is None else from_dict(Facts, noted, str(recipe_json))


def has_conditions(recipe_file: Path) -> bool:
    """Whether there is anything to be fitted."""
    return any(WHEN in recipe for recipe, _ in read_layers(recipe_file))


def check_conditions(conditions: Any, where: Path) -> List[Dict[str, Any]]:
    """The conditions of a recipe. Raises ValueError if they are none, or what they are based on is not there."""
    if not isinstance(conditions, list) or not all(isinstance(one, dict) for one in conditions):
        raise ValueError(f"{where}: '{WHEN}' is {as_json(conditions)}, expected a list of objects with settings")
    for one in conditions:
        if not {*_CONDITIONS} & {*one}:
            raise ValueError(f"{where}: an entry of '{WHEN}' has no condition; {known_names(_CONDITIONS, '')}")
        hours, device = one.get("below_hours", 0.0), one.get("device", "cpu")
        from_dict(Facts, {"hours": hours, "device": device}, f"{where}: '{WHEN}'")
        if BASED_ON in one:
            base_file(one[BASED_ON], where)
    return conditions


def _holds(condition: Dict[str, Any], facts: Facts) -> bool:
    below, device = condition.get("below_hours"), condition.get("device")
    return (below is None or facts.hours < below) and (device is None or facts.device == device)


def fitted_layers(recipe_file: Path, facts: Optional[Facts]) -> List[Layer]:
    """The layers of a recipe, with those of the conditions that hold; without facts, none does."""
    layers: List[Layer] = []
    for recipe, file in read_layers(recipe_file):
        conditions = check_conditions(recipe.get(WHEN, []), file)
        layers.append(({key: value for key, value in recipe.items() if key not in (WHEN, FITTED_TO)}, file))
        for one in conditions if facts is not None else ():
            if facts is not None and _holds(one, facts):
                layers += _layers_of(one, file)
    return layers


def _layers_of(condition: Dict[str, Any], file: Path) -> List[Layer]:
    below = fitted_layers(base_file(condition[BASED_ON], file), None) if BASED_ON in condition else []
    own = {key: value for key, value in condition.items() if key not in (*_CONDITIONS, BASED_ON)}
    found = [*below, (own, file)] if own else below
    return [({key: value for key, value in one.items() if key not in _OF_OTHER_STAGES}, path) for one, path in found]


def fitted_recipe(recipe_file: Path, facts: Optional[Facts]) -> Dict[str, Any]:
    """The recipe as it is after fitting, with a note of what it was fitted to."""
    merged: Dict[str, Any] = {}
    for recipe, _ in fitted_layers(recipe_file, facts):
        merged = overlaid(merged, recipe)
    return merged if facts is None else {**merged, FITTED_TO: to_dict(facts)}


def what_was_chosen(recipe_file: Path, facts: Facts) -> str:
    """A sentence about the settings that are others than without fitting; empty if none is."""
    before, after = flat(fitted_recipe(recipe_file, None)), flat(fitted_recipe(recipe_file, facts))
    changed = [f"{name} {as_json(value)}" for name, value in after.items() if before.get(name) != value]
    changed = [one for one in changed if not one.startswith(FITTED_TO)]
    if not changed:
        return ""
    return (
        f"{recipe_file} fits itself to {hours_text(facts.hours)} hours of training audio on {facts.device}: "
        f"{', '.join(changed)}. What your own recipe says, and flags, come before."
    )
