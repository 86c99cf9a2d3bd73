"""The settings of HuBERT's training run."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import CropLoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.hidden_spans import SpanConfig
from icefall_discrete.systems.hubert.network import ModelConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TargetConfig:
    """What frames are to be known by."""

    units: str = setting(
        "mfcc_km100",
        "feature type of the units, whose folder lies beside that of what is heard: k-means of MFCC in a first "
        "iteration, of a layer of the model before (or of a recogniser) in another; of several codebooks the first",
    )


@dataclasses.dataclass(frozen=True)
class UnitMaskConfig(SpanConfig):
    """Spans of hidden frames, more of them than Discrete BERT has."""

    start_prob: float = setting(0.08, "share of the frames that begin a hidden span", above=0, maximum=1)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is minimised; as published."""

    seen_weight: float = setting(0.0, "weight of the loss of frames that are not hidden", minimum=0)
    feature_penalty: float = setting(10.0, "weight of the mean square of the front end's frames", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe; what is hidden takes the place of augmentation."""

    system: ClassVar[str] = "hubert"
    target: TargetConfig = section(TargetConfig)
    mask: UnitMaskConfig = section(UnitMaskConfig)
    model: ModelConfig = section(ModelConfig)
    loader: CropLoaderConfig = section(CropLoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
