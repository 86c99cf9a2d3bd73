"""The settings of a recogniser's training run."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import section
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.losses.transducer_loss import LossConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.asr.own_labels import OwnLabelsConfig
from icefall_discrete.systems.asr.transducer import ModelConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of a recogniser's recipe."""

    system: ClassVar[str] = "asr"
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    augment: AugmentConfig = section(AugmentConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
    own_labels: OwnLabelsConfig = section(OwnLabelsConfig)

    @property
    def augmentation(self) -> AugmentConfig:
        """See training_settings.TrainSettings."""
        return self.augment
