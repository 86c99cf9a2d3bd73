"""The settings of a training run of a model of text and speech."""

import dataclasses
from typing import ClassVar, Tuple

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.speech_lm.layouts import DEFAULT, Layout, read_layouts
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.systems.unit_lm.network import ModelConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """What is learnt of an utterance; the masks are dMel's (https://arxiv.org/abs/2407.15835)."""

    layouts: Tuple[str, ...] = setting(DEFAULT, "a line a task, such as asr={speech}{answer}{text}<eos>")
    text_pieces: str = setting(
        "",
        "folder of transformers, or ORG/NAME of a hub, whose tokenizer.json divides texts; an experiment folder that "
        "has one; empty: bytes",
    )
    span_prob: float = setting(
        0.8, "share of the utterances whose heard codes are hidden in part, in training", minimum=0, maximum=1
    )
    span_ratio: float = setting(0.5, "share of the heard codes that is hidden then", minimum=0, maximum=0.95)
    span_length: int = setting(3, "codes of a hidden span", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        self.read(Vocabulary((1,)))

    def read(self, vocabulary: Vocabulary) -> Tuple[Layout, ...]:
        """The layouts."""
        return read_layouts(self.layouts, vocabulary)


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of its recipe."""

    system: ClassVar[str] = "speech_lm"
    task: TaskConfig = section(TaskConfig)
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
