"""The settings of a training run, by section."""

import dataclasses
from typing import Any, Dict, Mapping, Sequence, Tuple

from icefall_discrete.base.flags import override
from icefall_discrete.base.json_files import json_name
from icefall_discrete.base.names import listed
from icefall_discrete.base.settings import from_layers, section, to_dict
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.losses.transducer_loss import LossConfig
from icefall_discrete.systems.asr.transducer import ModelConfig
from icefall_discrete.training.train_config import TrainConfig

# Sections of a recipe file that other stages read.
OTHER_SECTIONS = ("model_size", "description", "bpe", "average", "decode")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what a training run does, apart from its data; config.json in the experiment folder."""

    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    augment: AugmentConfig = section(AugmentConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)

    def to_dict(self) -> Dict[str, Any]:
        """One JSON object a section."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "TrainSettings":
        """Read what `to_dict` gave; absent sections and settings take their defaults, unknown ones are errors."""
        return cls.from_layers([(values, where)])

    @classmethod
    def from_layers(cls, layers: Sequence[Tuple[Mapping[str, Any], str]]) -> "TrainSettings":
        """Read recipes, pairs of their sections and their file, each over those before it; see `from_dict`."""
        for values, where in layers:
            check_sections(values, where)
        return from_layers(cls, [({name: one[name] for name in SECTIONS if name in one}, file) for one, file in layers])

    def overridden(self, args: Any) -> "TrainSettings":
        """The same with the flags that were given (`args`, the parsed command line)."""
        return override(self, args)


SECTIONS = tuple(field.name for field in dataclasses.fields(TrainSettings))


def check_sections(values: Mapping[str, Any], where: str) -> None:
    """Raise ValueError if a recipe is no object, or has a section that no stage reads."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: it holds {json_name(values)}, expected an object with a section for each stage.")
    known = (*SECTIONS, *OTHER_SECTIONS)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown section {', '.join(unknown)}; known: {listed(known, unknown[0])}")
