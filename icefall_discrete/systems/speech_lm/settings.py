"""The settings of a training run of a model of text and speech."""

import dataclasses
from typing import ClassVar, Tuple

from icefall_discrete.base.settings import check_settings, path_setting, section, setting
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
    voices: str = path_setting(
        "vectors of speakers, local/embed_voices.py, for layouts that begin with {voice}; empty: none has one"
    )
    span_prob: float = setting(
        0.8, "share of the utterances whose heard codes are hidden in part, in training", minimum=0, maximum=1
    )
    span_ratio: float = setting(0.5, "share of the heard codes that is hidden then", minimum=0, maximum=0.95)
    span_length: int = setting(3, "codes of a hidden span", minimum=1)

    answer_spans: bool = setting(
        False, "hide codes of answers, too, from whatever comes behind them, so that frames are not merely repeated"
    )
    frames_per_step: int = setting(
        0,
        "frames whose codes are one step, told at once, as dMel does it, for features of many codebooks; 0: each code "
        "is a step",
        minimum=0,
    )
    channel_masks: int = setting(
        0, "with frames_per_step: most spans of codebooks that are not heard, in training (dMel: 2)", minimum=0
    )
    channel_mask_size: int = setting(30, "widest of these, in codebooks", minimum=0)
    time_masks: int = setting(
        0, "with frames_per_step: most spans of steps that are not heard, in training (dMel: 10)", minimum=0
    )
    time_mask_size: int = setting(50, "widest of these, in steps", minimum=0)
    time_mask_share: float = setting(0.1, "largest share of what is heard that each hides", minimum=0, maximum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.frames_per_step and (self.channel_masks or self.time_masks):
            raise ValueError(
                "channel_masks and time_masks are of steps that hold the codes of frames; set frames_per_step, or both "
                "to 0."
            )
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
