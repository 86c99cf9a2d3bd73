"""Front ends of the encoder: from input frames to vectors of the first stack, at half the rate or another.

`conv2d` is the one of icefall's recipe and of arXiv 2309.07377, made for spectrograms, where neighbouring dimensions
belong together. `conv1d` is for codes, whose embedding dimensions have no neighbourhood: it works over time only and
costs a small part of the other. Letters: N utterances, T input frames, T' output frames, F bins, C channels.
"""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.models.scaling import (
    Balancer,
    BiasNorm,
    Schedule,
    Scheduled,
    SwooshLinear,
    Whiten,
    swoosh_r,
)
from icefall_discrete.models.scaling.swoosh import dropout_mask
from icefall_discrete.models.zipformer.convolution import DepthwiseConv1d
from icefall_discrete.models.zipformer.masks import padding_mask
from icefall_discrete.models.zipformer.resample import downsampled_lens

MIN_CONV2D_FRAMES, MIN_CONV2D_DIM = 9, 7
CONV2D_CHANNELS = (8, 32, 128)
CONV2D_FIRST_GRAD_SCALE = 0.2
CONV1D_KERNEL = {1: 3, 2: 5, 4: 7}
CONVNEXT_KERNEL = 7


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Tensor, None]:
        return grad * ctx.scale, None


class _ConvNext(nn.Module):
    """Residual block: depthwise convolution, linear to three times the channels, SwooshL, linear back.

    Works on channels-last tensors (N, T, ..., C). In training it is skipped for some utterances.
    """

    def __init__(self, depthwise: nn.Module, channels: int) -> None:
        super().__init__()
        self.depthwise = depthwise
        self.up = nn.Linear(channels, 3 * channels)
        self.hidden_balancer = Balancer(positive=(0.3, 1.0), abs_value=(0.75, 5.0))
        self.down = SwooshLinear(3 * channels, channels, "l", scale=0.01)
        self.out_balancer = Balancer(positive=(0.4, 0.6), abs_value=(1.0, 6.0))
        self.out_whiten = Whiten(5.0)
        self.skip_rate = Schedule((0.0, 0.2), (20000.0, 0.015))

    def forward(self, x: Tensor, padding: Optional[Tensor] = None) -> Tensor:
        """Map x (N, T, ..., C) to the same shape; padding broadcasts over x, True where there is no frame."""
        update = self.depthwise(x if padding is None else x.masked_fill(padding, 0.0))
        update = self.down(self.hidden_balancer(self.up(update)))
        rate = float(self.skip_rate) if self.training else 0.0
        if rate > 0.0:
            shape = (x.shape[0], *(1 for _ in x.shape[1:]))
            update = update * (torch.rand(shape, device=x.device) > rate).to(update.dtype)
        return self.out_whiten(self.out_balancer(x + update))


class _Depthwise2d(nn.Conv2d):
    """7 x 7 depthwise convolution of channels-last images (N, T, F, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, CONVNEXT_KERNEL, padding=CONVNEXT_KERNEL // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Conv2dSubsampling(nn.Module):
    """Three 3 x 3 convolutions and one ConvNeXt block over time and bins, T -> (T - 7) // 2.

    Zipformer, https://arxiv.org/abs/2310.11230 (Conv-Embed), as in icefall's recipe.

    Args:
      in_dim: number of bins or embedding dimensions of the input, 7 or more.
      out_dim: dimension of the first stack.
      dropout: rate, a number or a schedule.
    """

    def __init__(self, in_dim: int, out_dim: int, dropout: Scheduled = 0.1) -> None:
        super().__init__()
        if in_dim < MIN_CONV2D_DIM:
            raise ValueError(f"front end conv2d needs inputs of {MIN_CONV2D_DIM} dimensions or more, got {in_dim}.")
        first, second, third = CONV2D_CHANNELS
        self.conv1 = nn.Conv2d(1, first, 3, padding=(0, 1))
        self.balancer1 = Balancer(channel_dim=1, abs_value=(0.2, 1.0))
        self.conv2 = nn.Conv2d(first, second, 3, stride=2)
        self.balancer2 = Balancer(channel_dim=1, abs_value=(0.2, 4.0))
        self.conv3 = nn.Conv2d(second, third, 3, stride=(1, 2))
        self.balancer3 = Balancer(channel_dim=1, abs_value=(0.2, 4.0))
        self.conv_next = _ConvNext(_Depthwise2d(third), third)
        num_bins = ((in_dim - 1) // 2 - 1) // 2
        self.out = nn.Linear(num_bins * third, out_dim)
        self.out_whiten = Whiten(Schedule((0.0, 4.0), (20000.0, 8.0)), grad_scale=0.02)
        self.out_norm = BiasNorm(out_dim)
        self.dropout = dropout

    @staticmethod
    def out_lens(lens):
        """Output frames of `lens` input frames (an int or an integer tensor)."""
        return (lens - 7) // 2

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, in_dim) with lens (N,) to (N, (T - 7) // 2, out_dim) and its lengths (N,)."""
        if x.shape[1] < MIN_CONV2D_FRAMES:
            raise ValueError(
                f"the longest utterance has {x.shape[1]} frames, but front end conv2d needs {MIN_CONV2D_FRAMES}; "
                "drop shorter ones with the duration filter or use front_end conv1d."
            )
        image = x.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        image = self.conv1(image)
        if self.training:
            # The first convolution's gradients are large enough to overflow half precision.
            image = _ScaleGradient.apply(image, CONV2D_FIRST_GRAD_SCALE)
        image = swoosh_r(self.balancer1(image))
        image = swoosh_r(self.balancer2(self.conv2(image)))
        image = swoosh_r(self.balancer3(self.conv3(image)))
        frames = self.conv_next(image.permute(0, 2, 3, 1).contiguous())
        return _finish(self, self.out(frames.flatten(2))), self.out_lens(lens)


class Conv1dSubsampling(nn.Module):
    """Convolution of 3 to 7 frames over time, SwooshR, linear, and one ConvNeXt block; T -> ceil(T / stride).

    An utterance in a padded batch gives the same output as alone: frames after its end are zeros to every convolution.

    Args:
      in_dim: dimension of the input vectors.
      out_dim: dimension of the first stack.
      stride: 1, 2 or 4.
      dropout: rate, a number or a schedule.
    """

    def __init__(self, in_dim: int, out_dim: int, stride: int, dropout: Scheduled = 0.1) -> None:
        super().__init__()
        if stride not in CONV1D_KERNEL:
            raise ValueError(f"front_end_stride is {stride}; known for conv1d: {', '.join(map(str, CONV1D_KERNEL))}.")
        self.stride = stride
        self.kernel = CONV1D_KERNEL[stride]
        self.conv = nn.Linear(self.kernel * in_dim, out_dim)
        self.balancer = Balancer(abs_value=(0.2, 4.0))
        self.project = SwooshLinear(out_dim, out_dim, "r", scale=1.0)
        self.conv_next = _ConvNext(DepthwiseConv1d(out_dim, CONVNEXT_KERNEL, CONVNEXT_KERNEL // 2), out_dim)
        self.out_whiten = Whiten(Schedule((0.0, 4.0), (20000.0, 8.0)), grad_scale=0.02)
        self.out_norm = BiasNorm(out_dim)
        self.dropout = dropout

    def out_lens(self, lens):
        """Output frames of `lens` input frames (an int or an integer tensor)."""
        return downsampled_lens(lens, self.stride)

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, in_dim) with lens (N,) to (N, ceil(T / stride), out_dim) and its lengths (N,)."""
        num_frames = x.shape[1]
        count = self.out_lens(num_frames)
        padding = padding_mask(lens, num_frames)
        if padding is not None:
            x = x.masked_fill(padding.unsqueeze(2), 0.0)
        left = (self.kernel - self.stride + 1) // 2
        span = (count - 1) * self.stride + 1
        x = F.pad(x, (0, 0, left, span + self.kernel - 1 - left - num_frames))
        windows = torch.cat([x[:, k : k + span : self.stride] for k in range(self.kernel)], dim=2)
        x = self.project(self.balancer(self.conv(windows)))
        out_lens = self.out_lens(lens)
        padding = padding_mask(out_lens, count)
        x = self.conv_next(x, None if padding is None else padding.unsqueeze(2))
        return _finish(self, x), out_lens


def _finish(front_end: nn.Module, x: Tensor) -> Tensor:
    """Whitening, normalisation and dropout at the end of both front ends."""
    x = front_end.out_norm(front_end.out_whiten(x))
    rate = float(front_end.dropout) if front_end.training else 0.0
    return x * dropout_mask(x, rate).to(x.dtype) if rate > 0.0 else x
