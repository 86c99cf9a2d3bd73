"""The settings of a training run from texts to units."""

import dataclasses
from typing import ClassVar

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.systems.tts.network import ModelConfig
from icefall_discrete.text.symbols import FRONTS, LETTERS
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TargetConfig:
    """What texts are read as, and whose voices there are."""

    front: str = setting(LETTERS, "letters as they are written, or phones of espeak-ng, if it is there", choices=FRONTS)
    fact: str = setting("speaker", "what tells voices apart: speaker, or another fact of the cuts' supervisions")
    voice_dropout: float = setting(
        0.1, "share of utterances that train the voice of nobody in particular", minimum=0, maximum=1
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """How units and durations are compared."""

    label_smoothing: float = setting(0.1, "part of the target that all units share", minimum=0, maximum=1)
    duration_weight: float = setting(1.0, "weight of the square error of log durations", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of a recipe from texts to units."""

    system: ClassVar[str] = "tts"
    target: TargetConfig = section(TargetConfig)
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
