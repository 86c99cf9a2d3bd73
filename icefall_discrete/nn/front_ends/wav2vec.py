"""Front end for samples: the convolutions of wav2vec, vq-wav2vec and CPC, and the quantizer of vq-wav2vec.

Schneider et al. 2019, https://arxiv.org/abs/1904.05862, section 2.1; Baevski et al. 2020,
https://arxiv.org/abs/1910.05453, section 3; Riviere et al. 2020, https://arxiv.org/abs/2002.02848, section 3. Letters:
N utterances, T input frames of F samples, T' frames, C channels, G groups of codes, D dimension of the encoder.
"""

import dataclasses
import math
from typing import ClassVar, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, choice, setting
from icefall_discrete.nn.front_ends.contract import FrontEndConfig, WholeFrontEnd
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.quantizers.contract import QUANTIZERS, Quantized, QuantizerConfig
from icefall_discrete.nn.scaling import Scheduled
from icefall_discrete.nn.utterance_frames import UtteranceFrames
from icefall_discrete.nn.utterance_norm import ACTIVATIONS, FrameNorm, UtteranceNorm

# Where schedules of the quantizer are at their end: no step of a training that is not its own.
_LATE = 10**9


@dataclasses.dataclass(frozen=True)
class Wav2VecFrontEndConfig(FrontEndConfig):
    """Front end wav2vec: for samples; the defaults are those of wav2vec large as fairseq trains it."""

    reads_samples: ClassVar[bool] = True
    frame_samples: int = setting(80, "samples of an input frame, as the feature type has them", minimum=1)
    channels: int = setting(512, "channels of the convolutions", minimum=1)
    kernels: Tuple[int, ...] = setting(
        (10, 8, 4, 4, 4, 1, 1), "what each convolution sees of the one before (CPC: 10, 8, 4, 4, 4)", minimum=1
    )
    strides: Tuple[int, ...] = setting((5, 4, 2, 2, 2, 1, 1), "and by how much it moves on", minimum=1)
    paddings: Tuple[int, ...] = setting(
        (), "zeros that each convolution sees at both ends (CPC: 3, 2, 1, 1, 1); none: no zeros", minimum=0
    )
    norm: str = setting(
        "utterance",
        "behind each convolution: over all channels and frames of an utterance, or of each frame alone (CPC)",
        choices=("utterance", "frame"),
    )
    conv_bias: bool = setting(False, "whether convolutions have a bias (CPC)")
    activation: str = setting("relu", "behind each normalisation (vq-wav2vec: gelu)", choices=tuple(ACTIVATIONS))
    log_compression: bool = setting(True, "frames z become log(|z| + 1) (CPC and vq-wav2vec: they stay)")
    quantizer: Optional[QuantizerConfig] = choice(
        None, "vq-wav2vec's, from frames to codes, whose vectors take their place; null: none", QUANTIZERS
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.kernels or len({len(self.kernels), len(self.strides), len(self.every_padding)}) > 1:
            raise ValueError(
                f"{len(self.kernels)} kernels with {len(self.strides)} strides and {len(self.paddings)} paddings; give "
                "as many of each, or no padding."
            )
        if self.hop_samples % self.frame_samples:
            raise ValueError(
                f"strides move on by {self.hop_samples} samples, which is no multiple of frame_samples, "
                f"{self.frame_samples}; choose a number that divides it, and the feature type accordingly."
            )

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.strides)

    @property
    def every_padding(self) -> Tuple[int, ...]:
        """That of each convolution."""
        return self.paddings or (0,) * len(self.kernels)

    @property
    def out_dim(self) -> int:
        """Dimension of the frames: of the convolutions, or of the quantizer's vectors."""
        return self.channels if self.quantizer is None else self.quantizer.out_dim

    @property
    def stride(self) -> int:
        """Input frames for one output frame."""
        return self.hop_samples // self.frame_samples

    def frames_out(self, num_frames: Lens) -> Lens:
        """See FrontEndConfig."""
        count = num_frames * self.frame_samples
        for kernel, stride, padding in zip(self.kernels, self.strides, self.every_padding):
            count = (count + 2 * padding - kernel) // stride + 1
        return count

    def build(self, in_dim: int, out_dim: int, dropout: Scheduled) -> "Wav2VecFrontEnd":
        """The module. Raises ValueError if the input is of another size."""
        if in_dim != self.frame_samples:
            raise ValueError(
                f"front end wav2vec takes frames of {self.frame_samples} samples, and the input has {in_dim} "
                "dimensions; use a feature type of tokenizer waveform with as many, and --embedding-dim 0."
            )
        return Wav2VecFrontEnd(self, out_dim, dropout)


class Framed(NamedTuple):
    """frames (N, T', E) with lens (N,): z of the convolutions, or the vectors of their codes, zeros behind ends;
    quantized: what the quantizer said of the valid ones, one utterance after the other, or None."""

    frames: Tensor
    lens: Tensor
    quantized: Optional[Quantized]


class Wav2VecFrontEnd(WholeFrontEnd):
    """Convolutions, normalised, and what comes of them; an utterance in a padded batch gives the same as alone.

    Where the encoder is of another dimension, a projection stands between.

    Args:
      config: the settings. out_dim: D. dropout: of what the encoder sees, a number or a schedule.
    """

    def __init__(self, config: Wav2VecFrontEndConfig, out_dim: int, dropout: Scheduled = 0.0) -> None:
        super().__init__(dropout)
        self.config = config
        sizes = [1, *[config.channels] * len(config.kernels)]
        self.convolutions = ModuleRow(
            nn.Conv1d(size, config.channels, kernel, stride=stride, padding=padding, bias=config.conv_bias)
            for size, kernel, stride, padding in zip(sizes, config.kernels, config.strides, config.every_padding)
        )
        kind = UtteranceNorm if config.norm == "utterance" else FrameNorm
        self.norms = ModuleRow(kind(config.channels) for _ in config.kernels)
        self.quantizer = None if config.quantizer is None else config.quantizer.build(config.channels)
        self.project = nn.Identity() if config.out_dim == out_dim else nn.Linear(config.out_dim, out_dim)
        self.out_whiten, self.out_norm = nn.Identity(), nn.Identity()

    def hear(self, x: Tensor, lens: Tensor, step: int = _LATE) -> Framed:
        """Frames of x (N, T, F) with lens (N,); `step` of the optimiser, which schedules of the quantizer follow.

        Raises:
          ValueError: if the longest utterance is too short for a frame.
        """
        config = self.config
        if int(config.frames_out(x.shape[1])) < 1:
            raise ValueError(
                f"{x.shape[1]} frames of {config.frame_samples} samples are too short for the convolutions; raise "
                "--min-utterance-sec."
            )
        counts, x = lens * config.frame_samples, x.flatten(1).unsqueeze(2)
        for index, convolution in enumerate(self.convolutions):
            # Zeros behind ends are what a padded convolution sees there of an utterance alone.
            x = UtteranceFrames(counts, x.shape[1]).without_padding(x)
            counts = (counts + 2 * config.every_padding[index] - config.kernels[index]) // config.strides[index] + 1
            x = convolution(x.transpose(1, 2)).transpose(1, 2)
            x = ACTIVATIONS[config.activation](self.norms[index](x, counts))
        counts = counts.clamp(min=0)
        z = (x.abs() + 1.0).log() if config.log_compression else x
        if self.quantizer is None:
            return Framed(UtteranceFrames(counts, z.shape[1]).without_padding(z), counts, None)
        return self._quantised(z, counts, step)

    def _quantised(self, z: Tensor, lens: Tensor, step: int) -> Framed:
        assert self.quantizer is not None
        frames = UtteranceFrames(lens, z.shape[1])
        numbers = torch.arange(len(lens), device=z.device).view(-1, 1, 1).expand(*z.shape[:2], 1)
        found = self.quantizer(frames.valid(z), step, frames.valid(numbers).squeeze(1))
        return Framed(frames.spread(found.vectors), lens, found)

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, F) with lens (N,) to (N, T', D) and its lengths (N,)."""
        framed = self.hear(x, lens)
        return self.vectors(framed.frames), framed.lens

    def vectors(self, frames: Tensor) -> Tensor:
        """What the encoder sees, (N, T', D), of frames (N, T', E); with dropout in training."""
        return self._finished(self.project(frames))
