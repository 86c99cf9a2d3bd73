"""The settings of a training run, by section."""

import dataclasses
from typing import Any, Dict, Mapping

from icefall_discrete.base.flags import override
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.losses.transducer_loss import LossConfig
from icefall_discrete.systems.asr.transducer import ModelConfig
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
