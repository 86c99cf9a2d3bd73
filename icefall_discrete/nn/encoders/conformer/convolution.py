"""The convolution module."""

from typing import Optional

import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.depthwise import FrameDepthwise
from icefall_discrete.nn.frame_layers import FrameBatchNorm
from icefall_discrete.nn.stream_state import Past
from icefall_discrete.nn.utterance_frames import UtteranceFrames


class ConvolutionModule(nn.Module):
    """Gated linear unit, depthwise convolution, normalisation, swish, linear.

    Args:
      dim: D. kernel: odd, in frames. norm: "batch" or "layer". causal: whether the convolution sees no later frame.
    """

    def __init__(self, dim: int, kernel: int, norm: str, causal: bool) -> None:
        super().__init__()
        self.pointwise_conv1 = nn.Linear(dim, 2 * dim)
        self.depthwise_conv = FrameDepthwise(dim, kernel, causal)
        self.norm = FrameBatchNorm(dim, counts_batches=True) if norm == "batch" else layer_norm(dim)
        self.pointwise_conv2 = nn.Linear(dim, dim)

    def forward(self, x: Tensor, frames: UtteranceFrames, past: Optional[Past] = None) -> Tensor:
        """Map x (N, T, D) to (N, T, D); `frames` are its extents, past: of the convolution, in a stream."""
        x = F.glu(self.pointwise_conv1(x), dim=2)
        x = self.depthwise_conv(frames.without_padding(x), past)
        x = self.norm(x, frames) if isinstance(self.norm, FrameBatchNorm) else self.norm(x)
        return self.pointwise_conv2(F.silu(x))
