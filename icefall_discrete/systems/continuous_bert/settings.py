"""The settings of Continuous BERT's training run."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.continuous_bert.network import ModelConfig
from icefall_discrete.systems.hidden_spans import SpanConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class VaryingSpanConfig(SpanConfig):
    """Spans of hidden frames, whose lengths differ as published."""

    length_deviation: float = setting(
        10.0, "standard deviation of that, rounded, at least one frame; 0: all are equal", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What a hidden frame is told from."""

    num_negatives: int = setting(10, "other hidden frames of the utterance that each is told from", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe; what is hidden takes the place of augmentation."""

    system: ClassVar[str] = "continuous_bert"
    mask: VaryingSpanConfig = section(VaryingSpanConfig)
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
