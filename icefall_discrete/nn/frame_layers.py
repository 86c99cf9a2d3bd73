"""Layers of convolutional encoders on padded batches: utterances in a batch give what they give alone.

Convolutions see an utterance mirrored at its ends, as SpeechBrain's do for one that is not padded. Letters: N
utterances, T frames, C channels, M frames of all utterances together.
"""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.depthwise import DepthwiseConv1d
from icefall_discrete.nn.utterance_frames import UtteranceFrames

_MOMENTUM, _EPSILON = 0.1, 1e-5


class FrameConv(nn.Module):
    """Convolution over time that mirrors each utterance at its ends; T -> ceil(T / stride).

    Args:
      in_channels, out_channels: C before and after. kernel: frames that it sees, an odd number.
      dilation: frames from one of them to the next. stride: input frames for one output frame.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.reach = kernel // 2 * dilation
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride=stride, dilation=dilation)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to (N, ceil(T / stride), C'); `frames` are its extents."""
        return self.conv(frames.mirrored(x, self.reach).transpose(1, 2)).transpose(1, 2)


class SeparableConv(nn.Module):
    """A convolution of each channel over time, then a linear map of channels; T -> ceil(T / stride). As FrameConv."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.reach, self.stride = kernel // 2, stride
        self.depthwise = DepthwiseConv1d(in_channels, kernel, padding=0)
        self.pointwise = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, frames: UtteranceFrames) -> Tensor:
        """Map x (N, T, C) to (N, ceil(T / stride), C'); `frames` are its extents."""
        return self.pointwise(self.depthwise(frames.mirrored(x, self.reach))[:, :: self.stride])


class FrameBatchNorm(nn.Module):
    """Batch normalisation (https://arxiv.org/abs/1502.03167) over the frames of a batch that are none of padding.

    Running statistics are those of torch.nn.BatchNorm1d; a batch whose values are not finite leaves them as they are.
    A batch of a single frame has no variance and is normalised by them.

    Args:
      channels: C. counts_batches: whether there is a `num_batches_tracked` among the weights, as torch has it.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Optional[Tensor]

    def __init__(self, channels: int, counts_batches: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0) if counts_batches else None)

    def forward(self, x: Tensor, frames: Optional[UtteranceFrames] = None) -> Tensor:
        """Normalise x (N, T, C), whose extents are `frames`, or x (N, C) without them."""
        valid = x if frames is None or not self.training else frames.valid(x)
        if not self.training or len(valid) < 2:
            scale = self.weight * (self.running_var + _EPSILON).rsqrt()
            return x * scale + (self.bias - self.running_mean * scale)
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        out = F.batch_norm(valid.float(), mean, variance, self.weight, self.bias, True, _MOMENTUM, _EPSILON)
        with torch.no_grad():
            is_finite = (mean + variance).isfinite().all()
            self.running_mean.copy_(torch.where(is_finite, mean, self.running_mean))
            self.running_var.copy_(torch.where(is_finite, variance, self.running_var))
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(is_finite)
        out = out.to(x.dtype)
        return out if frames is None else frames.spread(out)
