"""The settings of a training run: a model size, overlaid by a recipe file, overlaid by flags."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

import icefall_discrete
from icefall_discrete.config import StageParser, add_flags, from_dict, override, read_json, to_dict
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.losses.transducer_loss import LossConfig
from icefall_discrete.models.transducer import ModelConfig
from icefall_discrete.recipe_files import read_recipe
from icefall_discrete.training.train_config import TrainConfig

SECTIONS: Dict[str, type] = {
    "model": ModelConfig,
    "loader": LoaderConfig,
    "filter": FilterConfig,
    "augment": AugmentConfig,
    "loss": LossConfig,
    "train": TrainConfig,
}
# Sections of a recipe file that other stages read.
OTHER_SECTIONS = ("model_size", "description", "bpe", "average", "decode")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what a training run does, apart from its data; config.json in the experiment folder."""

    model: ModelConfig
    loader: LoaderConfig
    filter: FilterConfig
    augment: AugmentConfig
    loss: LossConfig
    train: TrainConfig

    def to_dict(self) -> Dict[str, Any]:
        """One JSON object a section."""
        return {name: to_dict(getattr(self, name)) for name in SECTIONS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "TrainSettings":
        """Read what `to_dict` gave; absent sections and settings take their defaults, unknown ones are errors."""
        check_sections(values, where)
        return cls(**{name: from_dict(kind, values.get(name, {}), where) for name, kind in SECTIONS.items()})

    def overridden(self, args: Any) -> "TrainSettings":
        """The same with the flags that were given (`args`, the parsed command line)."""
        return TrainSettings(**{name: override(getattr(self, name), args) for name in SECTIONS})


def check_sections(values: Mapping[str, Any], where: str) -> None:
    """Raise ValueError if a recipe has a section that no stage reads."""
    known = (*SECTIONS, *OTHER_SECTIONS)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown section {', '.join(unknown)}; known: {', '.join(known)}.")


def add_setting_flags(parser: StageParser) -> None:
    """Add a flag for each setting of each section."""
    for kind in SECTIONS.values():
        add_flags(parser, kind)


def model_size_file(name: str, conf_dirs: Sequence[Path]) -> Path:
    """Path of `models/<name>.json` in the recipe's configuration folders or else the package's, or `name` as a path.

    Raises:
      ValueError: if there is none; the known sizes are listed.
    """
    folders = [*(Path(folder) / "models" for folder in conf_dirs)]
    folders.append(Path(icefall_discrete.__file__).parent / "conf" / "models")
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
    recipe = read_recipe(recipe_file)
    check_sections(recipe, str(recipe_file))
    size_file = model_size_file(model_size or recipe.get("model_size", "tiny"), conf_dirs)
    model = {**read_json(size_file), **recipe.get("model", {})}
    return TrainSettings.from_dict({**recipe, "model": model}, f"{recipe_file} over {size_file}").overridden(args)
