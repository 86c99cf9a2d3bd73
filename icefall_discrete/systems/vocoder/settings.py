"""The settings of a vocoder's training run."""

import dataclasses
from typing import ClassVar, Tuple

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.data.prompts import SHORTEST_SEC, PromptRange
from icefall_discrete.systems import training_settings
from icefall_discrete.systems.adversary import AdversaryConfig
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.systems.vocoder.network import ModelConfig
from icefall_discrete.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TargetConfig:
    """Whose voices there are."""

    fact: str = setting("speaker", "what tells voices apart: speaker, or another fact of the cuts' supervisions")
    voice_dropout: float = setting(
        0.1, "share of utterances that train the voice of nobody in particular", minimum=0, maximum=1
    )
    part_sec: float = setting(
        2.0, "longer utterances are divided anew in each epoch, into parts of about this, in seconds", above=0
    )
    prompt_sec: Tuple[float, ...] = setting(
        (2.0, 3.0), "shortest and longest prompts in training, in seconds, for a generator that takes one", above=0
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.prompt_sec) != 2 or not SHORTEST_SEC <= self.prompt_sec[0] <= self.prompt_sec[1]:
            raise ValueError(
                f"prompt_sec is {list(self.prompt_sec)}, expected two numbers of seconds, at least {SHORTEST_SEC}, the "
                "shorter one first."
            )

    @property
    def prompts(self) -> PromptRange:
        """`prompt_sec` by their names."""
        return PromptRange(*self.prompt_sec)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What the waveform is held against that of the utterance by."""

    mel_weight: float = setting(1.0, "weight of the L1 loss of log mel spectra", minimum=0)
    stft_weight: float = setting(
        0.2, "weight of the loss of magnitude spectra: spectral convergence and L1 of logs", minimum=0
    )
    prosody_weight: float = setting(
        0.1111,
        "weight of the L1 loss of the prosody that a front end expects: a 9th, CTX-vec2wav's 5 where spectra have 45",
        minimum=0,
    )
    front_mel_weight: float = setting(
        1.3333, "weight of the L1 loss of the mel spectra that it expects; the published 60 of 45", minimum=0
    )
    front_mel_steps: int = setting(200000, "steps after which those are no longer learnt", minimum=0)
    duration_weight: float = setting(1.0, "weight of the square error of log durations, with predict_durations")
    fft_sizes: Tuple[int, ...] = setting((256, 512, 1024, 2048), "windows of the spectra, in samples", minimum=16)
    max_mel_bins: int = setting(80, "mel bins; fewer in short windows", minimum=1)
    adversary: AdversaryConfig = section(AdversaryConfig, "discriminators that hear what is said")

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.fft_sizes:
            raise ValueError("fft_sizes is empty, expected at least one window.")


@dataclasses.dataclass(frozen=True)
class TrainSettings(training_settings.TrainSettings):
    """The sections of a vocoder's recipe; codes are what they are, so that nothing is augmented."""

    system: ClassVar[str] = "vocoder"
    target: TargetConfig = section(TargetConfig)
    model: ModelConfig = section(ModelConfig)
    loader: LoaderConfig = section(LoaderConfig)
    filter: FilterConfig = section(FilterConfig)
    loss: LossConfig = section(LossConfig)
    train: TrainConfig = section(TrainConfig)
    init: InitialConfig = section(InitialConfig)
