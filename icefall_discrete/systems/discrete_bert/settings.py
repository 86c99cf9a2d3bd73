"""The settings of Discrete BERT's training run."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import section
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.nn.acoustic_encoder import AcousticEncoderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.discrete_bert.masks import MaskConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe; what is hidden takes the place of augmentation."""

    system: ClassVar[str] = "discrete_bert"
    mask: MaskConfig = section(MaskConfig)
    model: AcousticEncoderConfig = section(AcousticEncoderConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
