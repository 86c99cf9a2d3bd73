"""Front end of icefall's recipe and of arXiv 2309.07377, for spectrograms."""

import dataclasses
from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.conv_next import KERNEL, REACH, ConvNext
from icefall_discrete.nn.front_ends.contract import FrontEnd, FrontEndConfig, StreamWindow
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.scaling import Balancer, BiasNorm, Schedule, Scheduled, Whiten, swoosh_r
from icefall_discrete.nn.stream_state import Past

MIN_FRAMES, MIN_DIM, STRIDE = 9, 7, 2
CHANNELS = (8, 32, 128)
FIRST_GRAD_SCALE = 0.2


@dataclasses.dataclass(frozen=True)
class Conv2dConfig(FrontEndConfig):
    """Front end conv2d: for spectrograms, as in icefall's recipe."""

    stride: int = setting(
        STRIDE, "input frames that the front end makes one of: always 2", choices=(STRIDE,), formerly="front_end_stride"
    )

    def frames_out(self, num_frames: Lens) -> Lens:
        """(T - 7) // 2."""
        return conv2d_lens(num_frames)

    def build(self, in_dim: int, out_dim: int, dropout: Scheduled) -> "Conv2dSubsampling":
        """The module."""
        return Conv2dSubsampling(in_dim, out_dim, dropout)


def conv2d_lens(lens: Lens) -> Lens:
    """Output frames of `lens` input frames: none of them sees padding but through the ConvNeXt block."""
    return (lens - 7) // 2


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        return grad * ctx.scale, None


class _Depthwise2d(nn.Conv2d):
    """7 x 7 depthwise convolution of channels-last images (N, T, F, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, KERNEL, padding=REACH, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Conv2dSubsampling(FrontEnd):
    """Three 3 x 3 convolutions and one ConvNeXt block over time and bins, T -> (T - 7) // 2.

    Zipformer, https://arxiv.org/abs/2310.11230 (Conv-Embed), as in icefall's recipe.

    Args:
      in_dim: number of bins or embedding dimensions of the input, 7 or more.
      out_dim: dimension of the first stack.
      dropout: rate, a number or a schedule.
    """

    def __init__(self, in_dim: int, out_dim: int, dropout: Scheduled = 0.1) -> None:
        super().__init__(dropout)
        if in_dim < MIN_DIM:
            raise ValueError(f"front end conv2d needs inputs of {MIN_DIM} dimensions or more, got {in_dim}.")
        first, second, third = CHANNELS
        self.conv1 = nn.Conv2d(1, first, 3, padding=(0, 1))
        self.balancer1 = Balancer(channel_dim=1, abs_value=(0.2, 1.0))
        self.conv2 = nn.Conv2d(first, second, 3, stride=2)
        self.balancer2 = Balancer(channel_dim=1, abs_value=(0.2, 4.0))
        self.conv3 = nn.Conv2d(second, third, 3, stride=(1, 2))
        self.balancer3 = Balancer(channel_dim=1, abs_value=(0.2, 4.0))
        self.conv_next = ConvNext(_Depthwise2d(third), third)
        num_bins = ((in_dim - 1) // 2 - 1) // 2
        self.out = nn.Linear(num_bins * third, out_dim)
        self.out_whiten = Whiten(Schedule((0.0, 4.0), (20000.0, 8.0)), grad_scale=0.02)
        self.out_norm = BiasNorm(out_dim)

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, in_dim) with lens (N,) to (N, (T - 7) // 2, out_dim) and its lengths (N,)."""
        if x.shape[1] < MIN_FRAMES:
            raise ValueError(
                f"the longest utterance has {x.shape[1]} frames, but front end conv2d needs {MIN_FRAMES}; "
                "drop shorter ones with the duration filter or use front_end conv1d."
            )
        frames = self.conv_next(self._convolve(x))
        return self._finished(self.out(frames.flatten(2))), conv2d_lens(lens)

    def _convolve(self, x: Tensor) -> Tensor:
        """Map x (N, T, in_dim) to the input of the ConvNeXt block, (N, (T - 7) // 2, bins, channels)."""
        image = x.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        image = self.conv1(image)
        if self.training:
            # The first convolution's gradients are large enough to overflow half precision.
            image = _ScaleGradient.apply(image, FIRST_GRAD_SCALE)
        image = swoosh_r(self.balancer1(image))
        image = swoosh_r(self.balancer2(self.conv2(image)))
        image = swoosh_r(self.balancer3(self.conv3(image)))
        return image.permute(0, 2, 3, 1).contiguous()

    @property
    def window(self) -> StreamWindow:
        """The input frames that streaming needs for a chunk."""
        return StreamWindow(stride=STRIDE, kernel=MIN_FRAMES, lead=0, reach=REACH)

    def initial_past(self, num: int) -> Past:
        """The past of `num` streams before their first chunk."""
        channels = CHANNELS[-1]
        return Past(self.out.weight.new_zeros((num, REACH, self.out.in_features // channels, channels)))

    def stream(self, x: Tensor, num_frames: Optional[Tensor], past: Past) -> Tensor:
        """Map a window x (N, window.num_frames(T), in_dim) to its T output frames (N, T, out_dim), see ConvNext."""
        frames = self.conv_next.stream(self._convolve(x), num_frames, past)
        return self._finished(self.out(frames.flatten(2)))
