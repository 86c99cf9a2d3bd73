"""The settings of a training run of a perceptual model."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.perceptual.network import ModelConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """What is known of an utterance in training, besides its first codes."""

    longest_prompt_sec: float = setting(
        6.0,
        "most seconds at the beginning of which all codes are known; each length up to it is likely",
        minimum=0,
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe."""

    system: ClassVar[str] = "perceptual"
    task: TaskConfig = section(TaskConfig)
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
