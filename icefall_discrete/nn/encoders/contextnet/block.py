"""A block of ContextNet: convolutions, squeeze and excitation, and a residual connection."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.frame_layers import FrameBatchNorm, FrameConv, SeparableConv
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames


class NormedConv(nn.Module):
    """A separable convolution and batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = SeparableConv(in_channels, out_channels, kernel, stride)
        self.norm = FrameBatchNorm(out_channels)

    def forward(self, x: Tensor, frames: UtteranceFrames, after: UtteranceFrames) -> Tensor:
        """Map x (N, T, C), of extents `frames`, to (N, T', C'), of extents `after`."""
        return self.norm(self.conv(x, frames), after)


class SqueezeExcite(nn.Module):
    """Channels are scaled by what the whole utterance holds (section 2.2.3 of the paper; all activations sigmoid)."""

    def __init__(self, channels: int, squeezed_dim: int) -> None:
        super().__init__()
        self.conv = NormedConv(channels, channels, 1)
        self.squeeze = nn.Linear(channels, squeezed_dim)
        self.excite = nn.Linear(squeezed_dim, channels)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to the same size."""
        x = self.conv(x, frames, frames).sigmoid()
        scale = self.excite(self.squeeze(frames.mean(x)).sigmoid()).sigmoid()
        return x * scale.to(x.dtype)


class ContextNetBlock(nn.Module):
    """Convolutions (the last one with the stride), squeeze and excitation, residual connection, Swish, dropout.

    Matrices begin as in SpeechBrain: Kaiming's normal (https://arxiv.org/abs/1502.01852).

    Args:
      in_channels, out_channels: C before and after. kernel, num_convolutions, stride: of the convolutions.
      squeezed_dim: between the layers of squeeze and excitation. dropout: in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        num_convolutions: int,
        stride: int,
        squeezed_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stride, self.dropout = stride, dropout
        sizes = [(in_channels, 1), *[(out_channels, 1)] * (num_convolutions - 1)]
        sizes[-1] = (sizes[-1][0], stride)
        self.convolutions = ModuleRow(NormedConv(before, out_channels, kernel, one) for before, one in sizes)
        self.squeeze_excite = SqueezeExcite(out_channels, squeezed_dim)
        self.residual = FrameConv(in_channels, out_channels, 3, stride=stride)
        self.residual_norm = FrameBatchNorm(out_channels)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter)

    def forward(self, x: Tensor, frames: UtteranceFrames, after: UtteranceFrames) -> Tensor:
        """Map x (N, T, C), of extents `frames`, to (N, T', C'), of extents `after`."""
        out = x
        for number, conv in enumerate(self.convolutions, start=1):
            is_last = number == len(self.convolutions)
            out = conv(out, frames, after if is_last else frames)
        out = self.squeeze_excite(out, after)
        residual = self.residual_norm(self.residual(x, frames), after)
        return dropped(F.silu(torch.add(out, residual)), self.dropout, self.training)
