"""The settings of a training run of enhancement or separation."""

import dataclasses
from typing import ClassVar, Tuple

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.enhancement.network import ModelConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig

# Of more than these, all orders would be too many to try.
MOST_SOURCES = 5


@dataclasses.dataclass(frozen=True)
class TargetConfig:
    """What is found in a mixture."""

    sources: Tuple[str, ...] = setting(
        ("clean",),
        "sources of each utterance, whose codes are those of the splits <split>-<source>; of several no order is kept",
        distinct=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not 1 <= len(self.sources) <= MOST_SOURCES:
            raise ValueError(f"sources are {list(self.sources)}, expected 1 to {MOST_SOURCES} names.")


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of a recipe; codes are what they are, so that nothing is augmented."""

    system: ClassVar[str] = "enhancement"
    target: TargetConfig = section(TargetConfig)
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
