"""Depthwise convolution over time.

Tensors stay (N, T, C): for a convolution library that is the channels-last layout, which on a CPU is many times
faster for depthwise kernels than (N, C, T).
"""

import math
from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.stream_state import Past
from icefall_discrete.nn.tracing import applied


def _channels_last(weight: Tensor) -> Tensor:
    return weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _convolve(x: Tensor, weight: Tensor, bias: Optional[Tensor], padding: int) -> Tensor:
    image = x.transpose(1, 2).unsqueeze(2)
    out = F.conv2d(image, _channels_last(weight), bias, padding=(0, padding), groups=x.shape[2])
    return out.squeeze(2).transpose(1, 2)


def _weight_gradient(x: Tensor, grad: Tensor, kernel: int, padding: int) -> Tensor:
    """Gradient (C, 1, K): for every utterance and channel, x convolved with the output gradient as the kernel.

    Utterances and channels together form the channels of one depthwise convolution; this is two to three times as fast
    as the library's own weight gradient.
    """
    batch, frames, channels = x.shape
    rows = F.pad(x, (0, 0, padding, padding)).transpose(0, 1).reshape(1, frames + 2 * padding, batch * channels)
    filters = grad.transpose(0, 1).reshape(-1, batch * channels).t().unsqueeze(1)
    by_utterance = _convolve(rows, filters, None, 0)
    return by_utterance.view(kernel, batch, channels).sum(dim=1).t().unsqueeze(1)


class _DepthwiseCpu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return _convolve(x, weight, bias, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, weight = ctx.saved_tensors
        grad = grad.to(weight.dtype).contiguous()
        kernel = weight.shape[2]
        x_grad = _convolve(grad, weight.flip(2), None, kernel - 1 - ctx.padding)
        weight_grad = _weight_gradient(x.to(weight.dtype), grad, kernel, ctx.padding)
        return x_grad.to(x.dtype), weight_grad, grad.sum(dim=(0, 1)), None


class DepthwiseConv1d(nn.Module):
    """Depthwise convolution over time of x (N, T, C) with symmetric zero padding; initialised as nn.Conv1d.

    Args:
      channels: C.
      kernel: width in frames.
      padding: zeros on both sides; kernel // 2 keeps T where the kernel is odd.
    """

    def __init__(self, channels: int, kernel: int, padding: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(kernel)
        self.weight = nn.Parameter(torch.empty(channels, 1, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, T, C) to (N, T + 2 padding - kernel + 1, C)."""
        if x.is_cuda:
            out = F.conv1d(x.transpose(1, 2), self.weight, self.bias, padding=self.padding, groups=x.shape[2])
            return out.transpose(1, 2)
        return applied(_DepthwiseCpu, x, self.weight, self.bias, self.padding)


class FrameDepthwise(DepthwiseConv1d):
    """Depthwise convolution that keeps T: each frame sees as many before it as behind it, or if causal those before it.

    Args:
      channels: C. kernel: odd, in frames. causal: whether it sees no later frame.
    """

    def __init__(self, channels: int, kernel: int, causal: bool) -> None:
        super().__init__(channels, kernel, 0 if causal else kernel // 2)
        self.channels, self.causal, self.reach = channels, causal, kernel - 1

    def forward(self, x: Tensor, past: Optional[Past] = None) -> Tensor:
        """Map x (N, T, C) to (N, T, C); past: the kernel's frames before x, (N, kernel - 1, C), in a stream."""
        if past is not None:
            x = past.extend(x)
        elif self.causal:
            x = F.pad(x, (0, 0, self.reach, 0))
        return super().forward(x)
