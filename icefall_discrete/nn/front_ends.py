"""Front ends of the encoder: from input frames to vectors of the first stack, at half the rate or another.

`conv2d` is the one of icefall's recipe and of arXiv 2309.07377, made for spectrograms, where neighbouring dimensions
belong together. `conv1d` is for codes, whose embedding dimensions have no neighbourhood: it works over time only and
costs a small part of the other. Letters: N utterances, T input frames, T' output frames, F bins, C channels.
"""

from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.encoders.zipformer.convolution import DepthwiseConv1d
from icefall_discrete.nn.encoders.zipformer.masks import padding_mask
from icefall_discrete.nn.encoders.zipformer.resample import downsampled_lens
from icefall_discrete.nn.encoders.zipformer.state import Past
from icefall_discrete.nn.scaling import Balancer, BiasNorm, Schedule, Scheduled, SwooshLinear, Whiten, swoosh_r
from icefall_discrete.nn.scaling.swoosh import dropout_mask

MIN_CONV2D_FRAMES, MIN_CONV2D_DIM = 9, 7
CONV2D_CHANNELS = (8, 32, 128)
CONV2D_FIRST_GRAD_SCALE = 0.2
CONV1D_KERNEL = {1: 3, 2: 5, 4: 7}
CONVNEXT_KERNEL = 7
CONVNEXT_REACH = CONVNEXT_KERNEL // 2


@dataclass(frozen=True)
class StreamWindow:
    """Input frames that a front end needs for some output frames: output t comes from `kernel` frames at t x stride,
    the first of them `lead` frames earlier, and from its neighbours up to CONVNEXT_REACH away (those before it are
    remembered)."""

    stride: int
    kernel: int
    lead: int

    def num_frames(self, num_outputs: int) -> int:
        """Input frames for `num_outputs` output frames and the CONVNEXT_REACH after them."""
        return (num_outputs + CONVNEXT_REACH - 1) * self.stride + self.kernel


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

    def stream(self, x: Tensor, num_frames: Tensor, past: Past) -> Tensor:
        """Map T + CONVNEXT_REACH frames x (N, T + 3, ..., C) behind the past (N, 3, ..., C) to the first T of them.

        num_frames (N,), on the CPU, counts those before the end of a stream; in evaluation mode only.
        """
        if int(num_frames.min()) < x.shape[1]:
            padding = (torch.arange(x.shape[1]) >= num_frames.unsqueeze(1)).to(x.device)
            x = x.masked_fill(padding.view(*padding.shape, *(1 for _ in x.shape[2:])), 0.0)
        joined = torch.cat((past.frames, x), dim=1)
        past.frames = joined[:, -2 * CONVNEXT_REACH : -CONVNEXT_REACH]
        update = self.depthwise(joined)[:, CONVNEXT_REACH:-CONVNEXT_REACH]
        return x[:, :-CONVNEXT_REACH] + self.down(self.up(update))


class _Depthwise2d(nn.Conv2d):
    """7 x 7 depthwise convolution of channels-last images (N, T, F, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, CONVNEXT_KERNEL, padding=CONVNEXT_REACH, groups=channels)

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
        frames = self.conv_next(self._convolve(x))
        return _finish(self, self.out(frames.flatten(2))), self.out_lens(lens)

    def _convolve(self, x: Tensor) -> Tensor:
        """Map x (N, T, in_dim) to the input of the ConvNeXt block, (N, (T - 7) // 2, bins, channels)."""
        image = x.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        image = self.conv1(image)
        if self.training:
            # The first convolution's gradients are large enough to overflow half precision.
            image = _ScaleGradient.apply(image, CONV2D_FIRST_GRAD_SCALE)
        image = swoosh_r(self.balancer1(image))
        image = swoosh_r(self.balancer2(self.conv2(image)))
        image = swoosh_r(self.balancer3(self.conv3(image)))
        return image.permute(0, 2, 3, 1).contiguous()

    @property
    def window(self) -> StreamWindow:
        """The input frames that streaming needs for a chunk."""
        return StreamWindow(stride=2, kernel=MIN_CONV2D_FRAMES, lead=0)

    def initial_past(self, num: int) -> Past:
        """The past of `num` streams before their first chunk."""
        channels = CONV2D_CHANNELS[-1]
        return Past(self.out.weight.new_zeros((num, CONVNEXT_REACH, self.out.in_features // channels, channels)))

    def stream(self, x: Tensor, num_frames: Tensor, past: Past) -> Tensor:
        """Map a window x (N, window.num_frames(T), in_dim) to its T output frames (N, T, out_dim), see _ConvNext."""
        frames = self.conv_next.stream(self._convolve(x), num_frames, past)
        return _finish(self, self.out(frames.flatten(2)))


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
        self.conv_next = _ConvNext(DepthwiseConv1d(out_dim, CONVNEXT_KERNEL, CONVNEXT_REACH), out_dim)
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
        left = self.window.lead
        x = F.pad(x, (0, 0, left, (count - 1) * self.stride + self.kernel - left - num_frames))
        x = self._convolve(x, count)
        out_lens = self.out_lens(lens)
        padding = padding_mask(out_lens, count)
        x = self.conv_next(x, None if padding is None else padding.unsqueeze(2))
        return _finish(self, x), out_lens

    def _convolve(self, x: Tensor, count: int) -> Tensor:
        """The input of the ConvNeXt block, (N, count, out_dim), from x (N, (count - 1) stride + kernel, in_dim)."""
        span = (count - 1) * self.stride + 1
        windows = torch.cat([x[:, k : k + span : self.stride] for k in range(self.kernel)], dim=2)
        return self.project(self.balancer(self.conv(windows)))

    @property
    def window(self) -> StreamWindow:
        """The input frames that streaming needs for a chunk."""
        return StreamWindow(self.stride, self.kernel, lead=(self.kernel - self.stride + 1) // 2)

    def initial_past(self, num: int) -> Past:
        """The past of `num` streams before their first chunk."""
        return Past(self.conv.weight.new_zeros((num, CONVNEXT_REACH, self.conv.out_features)))

    def stream(self, x: Tensor, num_frames: Tensor, past: Past) -> Tensor:
        """Map a window x (N, window.num_frames(T), in_dim) to its T output frames (N, T, out_dim), see _ConvNext."""
        count = (x.shape[1] - self.kernel) // self.stride + 1
        return _finish(self, self.conv_next.stream(self._convolve(x, count), num_frames, past))


def _finish(front_end: nn.Module, x: Tensor) -> Tensor:
    """Whitening, normalisation and dropout at the end of both front ends."""
    x = front_end.out_norm(front_end.out_whiten(x))
    rate = float(front_end.dropout) if front_end.training else 0.0
    return x * dropout_mask(x, rate).to(x.dtype) if rate > 0.0 else x
