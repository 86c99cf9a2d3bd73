"""The settings of a vocoder's training run."""

import dataclasses
from typing import ClassVar, Tuple

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
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

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What the waveform is held against that of the utterance by."""

    mel_weight: float = setting(1.0, "weight of the L1 loss of log mel spectra", minimum=0)
    stft_weight: float = setting(
        0.2, "weight of the loss of magnitude spectra: spectral convergence and L1 of logs", minimum=0
    )
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
