"""The samples themselves, some of them a frame: for networks that learn from the waveform, such as wav2vec 2.0."""

import dataclasses

from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.tokenizers.frames import FrameSource
from icefall_discrete.tokenizers.frames.ssl import EPSILONS, normalized

_WINDOW = 400  # samples that a frame of the published convolutions hears


@dataclasses.dataclass(frozen=True)
class WaveformSettings:
    """Samples."""

    frame_samples: int = setting(
        80,
        "Samples of a frame, at 16 kHz; 80 divide hops and windows of published networks, so that no frame is lost.",
        minimum=1,
    )
    normalize: str = setting(
        "none",
        "Scaling of each utterance to mean 0 and variance 1: none, fairseq's layer_norm, or the unit_variance of "
        "transformers; large models of wav2vec 2.0, HuBERT and WavLM, and XLSR, want it.",
        ("none", *EPSILONS),
    )

    def __post_init__(self) -> None:
        check_settings(self)


class WaveformFrames(FrameSource):
    """Frames (T, frame_samples) of whole frames, T = S // frame_samples; the rest, shorter than a frame, is cut off."""

    Config = WaveformSettings
    origin = "spectrum"

    @property
    def normalisation(self) -> str:
        """The rule of the input."""
        return self.config.normalize

    @property
    def frame_rate_hz(self) -> float:
        """16000 / frame_samples."""
        return self.sample_rate_hz / self.config.frame_samples

    @property
    def min_samples(self) -> int:
        """What gives the published convolutions one frame."""
        return max(self.config.frame_samples, _WINDOW)

    @property
    def dim(self) -> int:
        """frame_samples."""
        return self.config.frame_samples

    def frames(self, samples: Tensor) -> Tensor:
        """See FrameSource."""
        scaled = normalized(samples, self.config.normalize)
        size = self.config.frame_samples
        return scaled[: len(scaled) // size * size].view(-1, size).contiguous()
