"""The settings of wav2vec 2.0's training run."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import CropLoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.hidden_spans import SpanConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.systems.wav2vec2.network import ModelConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class ContrastMaskConfig(SpanConfig):
    """Spans of hidden frames, more of them than Discrete BERT has."""

    start_prob: float = setting(0.065, "share of the frames that begin a hidden span", above=0, maximum=1)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What a hidden frame is told from, and what else is minimised; as published."""

    num_negatives: int = setting(100, "other hidden frames of the utterance that each is told from", minimum=1)
    feature_penalty: float = setting(10.0, "weight of the mean square of the front end's frames", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe; what is hidden takes the place of augmentation."""

    system: ClassVar[str] = "wav2vec2"
    mask: ContrastMaskConfig = section(ContrastMaskConfig)
    model: ModelConfig = section(ModelConfig)
    loader: CropLoaderConfig = section(CropLoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
