"""Front end for samples: the convolutions of wav2vec 2.0, HuBERT and WavLM, as published.

Baevski et al. 2020, https://arxiv.org/abs/2006.11477: frames of the feature type `waveform` are put in a row again, and
go through convolutions without padding, 20 ms apart with the published kernels. Letters: N utterances, T input frames
of F samples, T' frames, C channels, D dimension of the encoder.
"""

import dataclasses
import math
from typing import ClassVar, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.front_ends.contract import FrontEndConfig, WholeFrontEnd
from icefall_discrete.nn.lengths import Lens, padding_mask, with_whole_gradients
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.scaling import Scheduled
from icefall_discrete.nn.spans import span_masks
from icefall_discrete.nn.utterance_frames import UtteranceFrames

_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class WaveformConfig(FrontEndConfig):
    """Front end waveform: for samples; the defaults are those of wav2vec 2.0, base."""

    reads_samples: ClassVar[bool] = True
    frame_samples: int = setting(80, "samples of an input frame, as the feature type has them", minimum=1)
    channels: int = setting(512, "channels of the convolutions", minimum=1)
    kernels: Tuple[int, ...] = setting(
        (10, 3, 3, 3, 3, 2, 2), "what each convolution sees of the one before", minimum=1
    )
    strides: Tuple[int, ...] = setting((5, 2, 2, 2, 2, 2, 2), "and by how much it moves on", minimum=1)
    norm: str = setting(
        "group",
        "group: each channel of the first convolution over the time of an utterance (base models); layer: each frame "
        "of each convolution (large ones)",
        choices=("group", "layer"),
    )
    conv_bias: bool = setting(False, "whether convolutions have a bias (large models)")
    gradient_scale: float = setting(
        1.0, "what gradients of the convolutions are multiplied by (wav2vec 2.0: 0.1); 0: they do not learn", minimum=0
    )
    mask_start_prob: float = setting(
        0.0,
        "fine-tuning: share of the frames that begin a hidden span (published: 0.05 to 0.075)",
        minimum=0,
        maximum=1,
    )
    mask_length: int = setting(10, "frames of such a span", minimum=1)
    mask_channel_start_prob: float = setting(
        0.0, "fine-tuning: share of the dimensions that begin a span of zeros (published: 0.0016 to 0.008)", minimum=0
    )
    mask_channel_length: int = setting(64, "dimensions of such a span", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.kernels or len(self.kernels) != len(self.strides):
            raise ValueError(f"{len(self.kernels)} kernels with {len(self.strides)} strides; give as many of both.")
        if math.prod(self.strides) % self.frame_samples:
            raise ValueError(
                f"strides make a frame of {math.prod(self.strides)} samples, which is no multiple of frame_samples, "
                f"{self.frame_samples}; choose a number that divides it, and the feature type accordingly."
            )

    @property
    def stride(self) -> int:
        """Input frames for one output frame."""
        return math.prod(self.strides) // self.frame_samples

    def frames_of(self, num_samples: Lens, convolutions: Optional[int] = None) -> Lens:
        """Frames of so many samples, behind the first `convolutions` of them; None: behind all."""
        for kernel, stride in zip(self.kernels[:convolutions], self.strides):
            num_samples = (num_samples - kernel) // stride + 1
        return num_samples

    def frames_out(self, num_frames: Lens) -> Lens:
        """See FrontEndConfig."""
        return self.frames_of(num_frames * self.frame_samples)

    def build(self, in_dim: int, out_dim: int, dropout: Scheduled) -> "WaveformFrontEnd":
        """The module. Raises ValueError if the input is of another size."""
        if in_dim != self.frame_samples:
            raise ValueError(
                f"front end waveform takes frames of {self.frame_samples} samples, and the input has {in_dim} "
                "dimensions; use a feature type of tokenizer waveform with as many, and --embedding-dim 0."
            )
        return WaveformFrontEnd(self, out_dim, dropout)


class Heard(NamedTuple):
    """frames (N, T', C) of the convolutions, normalised over their channels, with lens (N,); penalty: the mean square
    before that normalisation."""

    frames: Tensor
    lens: Tensor
    penalty: Tensor


class WaveformFrontEnd(WholeFrontEnd):
    """Convolutions and GELU, then a normalisation and a projection; hidden frames are one vector that is learned.

    An utterance in a padded batch gives the same as alone: statistics of its channels are of its own frames.

    Args:
      config: the settings. out_dim: D. dropout: rate, a number or a schedule.
    """

    def __init__(self, config: WaveformConfig, out_dim: int, dropout: Scheduled = 0.0) -> None:
        super().__init__(dropout)
        self.config = config
        sizes = [1, *[config.channels] * len(config.kernels)]
        self.convolutions = ModuleRow(
            nn.Conv1d(size, config.channels, kernel, stride=stride, bias=config.conv_bias)
            for size, kernel, stride in zip(sizes, config.kernels, config.strides)
        )
        normalised = len(config.kernels) if config.norm == "layer" else 1
        # Weight and bias alone: of the group normalisation, which has no module that knows where utterances end, too.
        self.norms = ModuleRow(nn.LayerNorm(config.channels, eps=_EPSILON) for _ in range(normalised))
        self.frame_norm = nn.LayerNorm(config.channels, eps=_EPSILON)
        self.project = nn.Linear(config.channels, out_dim)
        self.mask_vector = nn.Parameter(torch.empty(out_dim))
        self.out_whiten, self.out_norm = nn.Identity(), nn.Identity()
        nn.init.uniform_(self.mask_vector)
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight)

    def hear(self, x: Tensor, lens: Tensor) -> Heard:
        """Frames of x (N, T, F) with lens (N,).

        Raises:
          ValueError: if the longest utterance is too short for a frame.
        """
        config, num_samples = self.config, lens * self.config.frame_samples
        heard_lens = config.frames_of(num_samples).clamp(min=0)
        if int(config.frames_out(x.shape[1])) < 1:
            raise ValueError(
                f"{x.shape[1]} frames of {config.frame_samples} samples are too short for the convolutions; raise "
                "--min-utterance-sec."
            )
        learns = torch.is_grad_enabled() and config.gradient_scale > 0
        with torch.set_grad_enabled(learns):
            convolved = self._convolved(x.flatten(1).unsqueeze(1), num_samples)
        if convolved.requires_grad:
            convolved.register_hook(lambda gradient: gradient * config.gradient_scale)
        frames = convolved.transpose(1, 2)
        present = UtteranceFrames(heard_lens, frames.shape[1]).valid(frames)
        return Heard(self.frame_norm(frames), heard_lens, present.float().pow(2).mean())

    def _convolved(self, x: Tensor, num_samples: Tensor) -> Tensor:
        """(N, C, T') of samples (N, 1, S)."""
        for index, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if self.config.norm == "layer":
                x = self.norms[index](x.transpose(1, 2)).transpose(1, 2)
            elif index == 0:
                x = self._over_time(x, self.config.frames_of(num_samples, 1))
            x = with_whole_gradients(F.gelu(x))
        return x

    def _over_time(self, x: Tensor, lens: Tensor) -> Tensor:
        """Each channel of x (N, C, T) with the mean and the deviation of the first `lens` (N,) frames removed."""
        padding = padding_mask(lens, x.shape[2])
        count = lens.clamp(min=1).view(-1, 1, 1)
        own = x.float() if padding is None else x.float().masked_fill(padding.unsqueeze(1), 0.0)
        mean = own.sum(dim=2, keepdim=True) / count
        off = own - mean
        off = off if padding is None else off.masked_fill(padding.unsqueeze(1), 0.0)
        variance = off.pow(2).sum(dim=2, keepdim=True) / count
        scale, norm = (variance + _EPSILON).rsqrt().to(x.dtype), self.norms[0]
        return (x - mean.to(x.dtype)) * scale * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)

    def vectors(self, heard: Tensor) -> Tensor:
        """What the encoder sees, (N, T', D), of frames (N, T', C); with dropout in training."""
        return dropped(self.project(heard), float(self.dropout), self.training)

    def hide(self, vectors: Tensor, hidden: Tensor) -> Tensor:
        """Vectors (N, T', D) with the learned one where `hidden` (N, T') bool."""
        return torch.where(hidden.unsqueeze(2), self.mask_vector.to(vectors.dtype), vectors)

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, F) with lens (N,) to (N, T', D) and its lengths (N,); in training with masks, if so set."""
        heard = self.hear(x, lens)
        vectors, config = self.vectors(heard.frames), self.config
        if self.training and config.mask_start_prob > 0:
            hidden = span_masks(heard.lens.cpu(), config.mask_start_prob, config.mask_length).to(vectors.device)
            vectors = self.hide(vectors, F.pad(hidden, (0, vectors.shape[1] - hidden.shape[1])))
        if self.training and config.mask_channel_start_prob > 0:
            sizes = torch.full((len(vectors),), vectors.shape[2])
            dropped = span_masks(sizes, config.mask_channel_start_prob, config.mask_channel_length)
            vectors = vectors.masked_fill(dropped.unsqueeze(1).to(vectors.device), 0.0)
        return vectors, heard.lens
