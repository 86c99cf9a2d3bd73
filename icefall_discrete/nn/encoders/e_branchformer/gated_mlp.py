"""The MLP with a convolutional gate, https://arxiv.org/abs/2207.02971."""

from typing import Optional

from torch import Tensor, nn

from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.depthwise import FrameDepthwise
from icefall_discrete.nn.dropout import Dropout
from icefall_discrete.nn.scaling import Scheduled
from icefall_discrete.nn.stream_state import Past
from icefall_discrete.nn.utterance_frames import UtteranceFrames


class SpatialGate(nn.Module):
    """Halves the channels: the first half times a convolution over time of the second, normalised.

    Args:
      dim: of the input, even. kernel: odd, in frames. dropout: of the output. causal: whether no later frame is seen.
    """

    def __init__(self, dim: int, kernel: int, dropout: Scheduled, causal: bool) -> None:
        super().__init__()
        self.norm = layer_norm(dim // 2)
        self.conv = FrameDepthwise(dim // 2, kernel, causal)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, frames: UtteranceFrames, past: Optional[Past] = None) -> Tensor:
        """Map x (N, T, dim) to (N, T, dim / 2); `frames` are its extents, past: of the convolution, in a stream."""
        value, gate = x.chunk(2, dim=2)
        return self.dropout(value * self.conv(frames.without_padding(self.norm(gate)), past))


class GatedMlp(nn.Module):
    """Linear, GELU, SpatialGate, linear.

    Args:
      dim: D. hidden_dim: between the two. kernel, dropout, causal: of the gate.
    """

    def __init__(self, dim: int, hidden_dim: int, kernel: int, dropout: Scheduled, causal: bool) -> None:
        super().__init__()
        self.channel_proj1 = nn.Linear(dim, hidden_dim)
        self.csgu = SpatialGate(hidden_dim, kernel, dropout, causal)
        self.channel_proj2 = nn.Linear(hidden_dim // 2, dim)

    def forward(self, x: Tensor, frames: UtteranceFrames, past: Optional[Past] = None) -> Tensor:
        """Map x (N, T, D) to (N, T, D); `frames` and past are those of the gate."""
        return self.channel_proj2(self.csgu(nn.functional.gelu(self.channel_proj1(x)), frames, past))
