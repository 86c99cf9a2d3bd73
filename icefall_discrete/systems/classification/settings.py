"""The settings of a classifier's training run."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import section, setting
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import CropLoaderConfig
from icefall_discrete.losses.class_loss import ClassLossConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.classification.network import ModelConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TargetConfig:
    """What the classes are."""

    fact: str = setting(
        "language", "what is told apart: language, speaker, gender, or a custom field of the cuts' supervisions"
    )


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of a classifier's recipe."""

    system: ClassVar[str] = "classification"
    target: TargetConfig = section(TargetConfig)
    model: ModelConfig = section(ModelConfig)
    loader: CropLoaderConfig = section(CropLoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    augment: AugmentConfig = section(AugmentConfig)
    loss: ClassLossConfig = section(ClassLossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)

    @property
    def augmentation(self) -> AugmentConfig:
        """See training_settings.TrainSettings."""
        return self.augment
