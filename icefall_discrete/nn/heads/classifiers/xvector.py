"""The x-vector network, https://www.danielpovey.com/files/2018_icassp_xvectors.pdf, as SpeechBrain has it."""

import dataclasses
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import check_settings, require_odd, setting
from icefall_discrete.nn.frame_layers import FrameBatchNorm, FrameConv
from icefall_discrete.nn.heads.classifiers.contract import ClassifierConfig, Embedder
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames

# Added to each deviation; below the square root of the other a variance is rounding.
_DEVIATION_FLOOR, _MIN_VARIANCE = 1e-5, 1e-12


@dataclasses.dataclass(frozen=True)
class XvectorConfig(ClassifierConfig):
    """Shape of the x-vector network; the defaults are DASB's for speakers."""

    tdnn_channels: Tuple[int, ...] = setting(
        (512, 512, 512, 512, 1500), "channels of each layer over time (DASB for keywords: 1024 x 4, 3072)", minimum=1
    )
    tdnn_kernels: Tuple[int, ...] = setting((5, 3, 3, 1, 1), "frames that each of them sees, odd", minimum=1)
    tdnn_dilations: Tuple[int, ...] = setting((1, 2, 3, 1, 1), "frames from one of those to the next", minimum=1)
    xvector_dim: int = setting(512, "dimension of an x-vector", minimum=1)
    num_hidden_layers: int = setting(1, "layers between x-vector and output", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)
        if not len(self.tdnn_channels) == len(self.tdnn_kernels) == len(self.tdnn_dilations):
            raise ValueError(
                f"tdnn_channels {self.tdnn_channels}, tdnn_kernels {self.tdnn_kernels} and tdnn_dilations "
                f"{self.tdnn_dilations} have different numbers of layers; give one value for each layer."
            )
        require_odd(self, "tdnn_kernels")

    def build(self, in_dim: int) -> "Xvector":
        """The module."""
        return Xvector(in_dim, self)


class TdnnLayer(nn.Module):
    """A convolution over time, leaky rectifier, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv = FrameConv(in_channels, out_channels, kernel, dilation)
        self.norm = FrameBatchNorm(out_channels)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to (N, T, C')."""
        return self.norm(F.leaky_relu(self.conv(x, frames)), frames)


class HiddenLayer(nn.Module):
    """A linear map, leaky rectifier, batch normalisation over the utterances of a batch."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.norm = FrameBatchNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, E) to the same size."""
        return self.norm(F.leaky_relu(self.linear(x)))


class Xvector(Embedder):
    """Layers over time, mean and standard deviation, a linear map to the x-vector, layers on it.

    SpeechBrain adds noise of up to 1e-4 to the means, always; here there is none.

    Args:
      in_dim: D.
    """

    def __init__(self, in_dim: int, config: XvectorConfig) -> None:
        super().__init__()
        channels = [in_dim, *config.tdnn_channels]
        self.layers = ModuleRow(
            TdnnLayer(*sizes) for sizes in zip(channels, channels[1:], config.tdnn_kernels, config.tdnn_dilations)
        )
        self.embedding = nn.Linear(2 * channels[-1], config.xvector_dim)
        self.norm = FrameBatchNorm(config.xvector_dim)
        self.hidden = ModuleRow(HiddenLayer(config.xvector_dim) for _ in range(config.num_hidden_layers))
        self.out_dim = config.xvector_dim

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """X-vectors (N, xvector_dim) of frames x (N, T', D) with lens (N,)."""
        frames = UtteranceFrames(lens, x.shape[1])
        for layer in self.layers:
            x = layer(x, frames)
        mean = frames.mean(x)
        count = frames.lens.view(-1, 1, 1)
        variance = frames.mean((x.float() - mean).square()) * (count / (count - 1).clamp(min=1))
        deviation = variance.clamp(min=_MIN_VARIANCE).sqrt() + _DEVIATION_FLOOR
        return self.embedding(torch.cat((mean, deviation), dim=2).squeeze(1))

    def refined(self, embeddings: Tensor) -> Tensor:
        """What the output layer reads, (N, xvector_dim)."""
        x = self.norm(F.leaky_relu(embeddings))
        for layer in self.hidden:
            x = layer(x)
        return x
