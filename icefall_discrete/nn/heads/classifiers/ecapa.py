"""ECAPA-TDNN, https://arxiv.org/abs/2005.07143, as SpeechBrain has it."""

import dataclasses
from typing import List, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, require_odd, setting
from icefall_discrete.nn.frame_layers import FrameBatchNorm, FrameConv
from icefall_discrete.nn.heads.classifiers.contract import ClassifierConfig, Embedder
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames

_MIN_VARIANCE = 1e-12


@dataclasses.dataclass(frozen=True)
class EcapaConfig(ClassifierConfig):
    """Shape of ECAPA-TDNN; the defaults are DASB's."""

    ecapa_channels: Tuple[int, ...] = setting(
        (1024, 1024, 1024, 1024, 3072), "channels of the first layer, of each block and of what joins them", minimum=1
    )
    ecapa_kernels: Tuple[int, ...] = setting((5, 3, 3, 3, 1), "frames that each of them sees, odd", minimum=1)
    ecapa_dilations: Tuple[int, ...] = setting((1, 2, 3, 4, 1), "frames from one of those to the next", minimum=1)
    res2net_scale: int = setting(8, "groups of channels of a block, each with all before it", minimum=2)
    se_channels: int = setting(128, "channels between the layers of squeeze and excitation", minimum=1)
    attention_channels: int = setting(128, "channels of the attention over time (DASB for emotion: 64)", minimum=1)
    ecapa_dim: int = setting(192, "dimension of an embedding", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)
        if not len(self.ecapa_channels) == len(self.ecapa_kernels) == len(self.ecapa_dilations) >= 3:
            raise ValueError(
                f"ecapa_channels {self.ecapa_channels}, ecapa_kernels {self.ecapa_kernels} and ecapa_dilations "
                f"{self.ecapa_dilations} are to have as many values, at least 3: first layer, blocks, join."
            )
        require_odd(self, "ecapa_kernels")
        undivided = [one for one in self.ecapa_channels[1:-1] if one % self.res2net_scale]
        if undivided:
            raise ValueError(
                f"ecapa_channels has {undivided[0]}, expected multiples of res2net_scale "
                f"{self.res2net_scale} for blocks."
            )

    def build(self, in_dim: int) -> "Ecapa":
        """The module."""
        return Ecapa(in_dim, self)


class Tdnn(nn.Module):
    """A convolution over time, rectifier, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = FrameConv(in_channels, out_channels, kernel, dilation)
        self.norm = FrameBatchNorm(out_channels)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to (N, T, C')."""
        return self.norm(self.conv(x, frames).relu(), frames)


class Res2Net(nn.Module):
    """Groups of channels: the first one passes, each other one is convolved together with the one before it."""

    def __init__(self, channels: int, scale: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.scale = scale
        width = channels // scale
        self.layers = ModuleRow(Tdnn(width, width, kernel, dilation) for _ in range(scale - 1))

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to the same size."""
        first, *others = x.chunk(self.scale, dim=2)
        found: List[Tensor] = [first]
        for layer, other in zip(self.layers, others):
            found.append(layer(other if len(found) == 1 else other + found[-1], frames))
        return torch.cat(found, dim=2)


class EcapaBlock(nn.Module):
    """A layer, Res2Net, a layer, squeeze and excitation, residual connection."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int, config: EcapaConfig) -> None:
        super().__init__()
        self.before = Tdnn(in_channels, out_channels)
        self.res2net = Res2Net(out_channels, config.res2net_scale, kernel, dilation)
        self.after = Tdnn(out_channels, out_channels)
        self.squeeze = nn.Linear(out_channels, config.se_channels)
        self.excite = nn.Linear(config.se_channels, out_channels)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to (N, T, C')."""
        out = self.after(self.res2net(self.before(x, frames), frames), frames)
        scale = self.excite(self.squeeze(frames.mean(out)).relu()).sigmoid()
        return out * scale.to(out.dtype) + self.shortcut(x)


class AttentivePooling(nn.Module):
    """Mean and deviation over time, for each channel weighted by attention that knows those of the whole utterance."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.tdnn = Tdnn(3 * channels, attention_channels)
        self.scores = nn.Linear(attention_channels, channels)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to (N, 2 C)."""
        x = x.float()
        mean = frames.mean(x)
        deviation = frames.mean((x - mean).square()).clamp(min=_MIN_VARIANCE).sqrt()
        context = torch.cat((x, mean.expand_as(x), deviation.expand_as(x)), dim=2)
        weights = frames.weights(self.scores(self.tdnn(context, frames).tanh()))
        mean = (weights * x).sum(dim=1)
        variance = (weights * (x - mean.unsqueeze(1)).square()).sum(dim=1)
        return torch.cat((mean, variance.clamp(min=_MIN_VARIANCE).sqrt()), dim=1)


class Ecapa(Embedder):
    """A layer, blocks whose outputs are joined by a layer, attentive statistics, a linear map to the embedding.

    Unlike SpeechBrain's, batch statistics leave padding out, and convolutions do not see it.

    Args:
      in_dim: D.
    """

    def __init__(self, in_dim: int, config: EcapaConfig) -> None:
        super().__init__()
        channels, kernels, dilations = config.ecapa_channels, config.ecapa_kernels, config.ecapa_dilations
        self.first = Tdnn(in_dim, channels[0], kernels[0], dilations[0])
        sizes = list(zip(channels, channels[1:], kernels[1:], dilations[1:]))[:-1]
        self.blocks = ModuleRow(EcapaBlock(*one, config) for one in sizes)
        self.join = Tdnn(sum(channels[1:-1]), channels[-1], kernels[-1], dilations[-1])
        self.pooling = AttentivePooling(channels[-1], config.attention_channels)
        self.pooled_norm = FrameBatchNorm(2 * channels[-1])
        self.embedding = nn.Linear(2 * channels[-1], config.ecapa_dim)
        self.out_dim = config.ecapa_dim

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """Embeddings (N, ecapa_dim) of frames x (N, T', D) with lens (N,)."""
        frames = UtteranceFrames(lens, x.shape[1])
        x = self.first(x, frames)
        outputs: List[Tensor] = []
        for block in self.blocks:
            x = block(x, frames)
            outputs.append(x)
        x = self.join(torch.cat(outputs, dim=2), frames)
        return self.embedding(self.pooled_norm(self.pooling(x, frames)))
