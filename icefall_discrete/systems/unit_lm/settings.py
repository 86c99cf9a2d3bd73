"""The settings of a training run of a language model of units."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import section
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.systems.unit_lm.network import ModelConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe."""

    system: ClassVar[str] = "unit_lm"
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
