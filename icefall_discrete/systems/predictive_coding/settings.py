"""The settings of predictive coding's training run."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import CropLoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.predictive_coding.network import ModelConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What a frame ahead is told from; the default is wav2vec's."""

    num_negatives: int = setting(10, "other frames of the utterance that each frame is told from (CPC: 128)", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe; samples are not augmented."""

    system: ClassVar[str] = "predictive_coding"
    model: ModelConfig = section(ModelConfig)
    loader: CropLoaderConfig = section(CropLoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
