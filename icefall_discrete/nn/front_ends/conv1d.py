"""Front end for codes: works over time only, and costs a small part of conv2d."""

import dataclasses
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.conv_next import KERNEL, REACH, ConvNext
from icefall_discrete.nn.depthwise import DepthwiseConv1d
from icefall_discrete.nn.front_ends.contract import FrontEnd, FrontEndConfig, StreamWindow
from icefall_discrete.nn.lengths import Lens, downsampled_lens, padding_mask
from icefall_discrete.nn.scaling import Balancer, BiasNorm, Schedule, Scheduled, SwooshLinear, Whiten
from icefall_discrete.nn.stream_state import Past

# Frames that the convolution sees, by stride.
KERNELS = {1: 3, 2: 5, 4: 7}


@dataclasses.dataclass(frozen=True)
class Conv1dConfig(FrontEndConfig):
    """Front end conv1d: for codes."""

    stride: int = setting(
        2, "input frames that the front end makes one of", choices=tuple(KERNELS), formerly="front_end_stride"
    )

    def frames_out(self, num_frames: Lens) -> Lens:
        """ceil(T / stride)."""
        return downsampled_lens(num_frames, self.stride)

    def build(self, in_dim: int, out_dim: int, dropout: Scheduled) -> "Conv1dSubsampling":
        """The module."""
        return Conv1dSubsampling(in_dim, out_dim, self.stride, dropout)


class Conv1dSubsampling(FrontEnd):
    """Convolution of 3 to 7 frames over time, SwooshR, linear, and one ConvNeXt block; T -> ceil(T / stride).

    An utterance in a padded batch gives the same output as alone: frames after its end are zeros to every convolution.

    Args:
      in_dim: dimension of the input vectors.
      out_dim: dimension of the first stack.
      stride: 1, 2 or 4.
      dropout: rate, a number or a schedule.
    """

    def __init__(self, in_dim: int, out_dim: int, stride: int, dropout: Scheduled = 0.1) -> None:
        super().__init__(dropout)
        if stride not in KERNELS:
            raise ValueError(f"front_end_stride is {stride}; known for conv1d: {', '.join(map(str, KERNELS))}.")
        self.stride = stride
        self.kernel = KERNELS[stride]
        self.conv = nn.Linear(self.kernel * in_dim, out_dim)
        self.balancer = Balancer(abs_value=(0.2, 4.0))
        self.project = SwooshLinear(out_dim, out_dim, "r", scale=1.0)
        self.conv_next = ConvNext(DepthwiseConv1d(out_dim, KERNEL, REACH), out_dim)
        self.out_whiten = Whiten(Schedule((0.0, 4.0), (20000.0, 8.0)), grad_scale=0.02)
        self.out_norm = BiasNorm(out_dim)

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, in_dim) with lens (N,) to (N, ceil(T / stride), out_dim) and its lengths (N,)."""
        num_frames = x.shape[1]
        count = downsampled_lens(num_frames, self.stride)
        padding = padding_mask(lens, num_frames)
        if padding is not None:
            x = x.masked_fill(padding.unsqueeze(2), 0.0)
        left = self.window.lead
        x = F.pad(x, (0, 0, left, (count - 1) * self.stride + self.kernel - left - num_frames))
        x = self._convolve(x, count)
        out_lens = downsampled_lens(lens, self.stride)
        padding = padding_mask(out_lens, count)
        x = self.conv_next(x, None if padding is None else padding.unsqueeze(2))
        return self._finished(x), out_lens

    def _convolve(self, x: Tensor, count: int) -> Tensor:
        """The input of the ConvNeXt block, (N, count, out_dim), from x (N, (count - 1) stride + kernel, in_dim)."""
        span = (count - 1) * self.stride + 1
        windows = torch.cat([x[:, k : k + span : self.stride] for k in range(self.kernel)], dim=2)
        return self.project(self.balancer(self.conv(windows)))

    @property
    def window(self) -> StreamWindow:
        """The input frames that streaming needs for a chunk."""
        return StreamWindow(self.stride, self.kernel, (self.kernel - self.stride + 1) // 2, REACH)

    def initial_past(self, num: int) -> Past:
        """The past of `num` streams before their first chunk."""
        return Past(self.conv.weight.new_zeros((num, REACH, self.conv.out_features)))

    def stream(self, x: Tensor, num_frames: Optional[Tensor], past: Past) -> Tensor:
        """Map a window x (N, window.num_frames(T), in_dim) to its T output frames (N, T, out_dim), see ConvNext."""
        count = (x.shape[1] - self.kernel) // self.stride + 1
        return self._finished(self.conv_next.stream(self._convolve(x, count), num_frames, past))
