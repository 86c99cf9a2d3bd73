"""Convolution that is causal by chunks, and the module around depthwise convolutions."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.depthwise import DepthwiseConv1d
from icefall_discrete.nn.encoders.zipformer.masks import StackMasks
from icefall_discrete.nn.scaling import Balancer, Schedule, SwooshLinear, Whiten
from icefall_discrete.nn.scaling.whiten import whitening_limit
from icefall_discrete.nn.stream_state import Past
from icefall_discrete.nn.tracing import at_least_zero, is_traced


class ChunkCausalConv1d(nn.Module):
    """Depthwise convolution that sees the past, and the future only inside a frame's own chunk.

    The sum of a causal convolution of half the width and a convolution inside chunks, whose result is scaled by
    factors that depend on the distance to the chunk's edges.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.causal = DepthwiseConv1d(channels, (kernel + 1) // 2, padding=0)
        with torch.no_grad():
            self.causal.bias.uniform_(-0.1, 0.1)
        self.chunkwise = DepthwiseConv1d(channels, kernel, padding=kernel // 2)
        # Row 0 counts from the left edge of a chunk, row 1 up to its right edge.
        self.edge_scale = nn.Parameter(torch.zeros(2, channels, kernel))

    def _scale(self, chunk_size: int) -> Tensor:
        """(chunk_size, C): 1 plus the corrections near both edges."""
        left, right = self.edge_scale[0], self.edge_scale[1]
        missing = chunk_size - self.kernel
        if is_traced():
            fill = at_least_zero(missing)
            left, right = F.pad(left, (0, fill))[:, :chunk_size], F.pad(right, (fill, 0))[:, -chunk_size:]
            return (1.0 + left + right).t()
        if missing < 0:
            left, right = left[:, :chunk_size], right[:, -missing:]
        else:
            left, right = F.pad(left, (0, missing)), F.pad(right, (missing, 0))
        return (1.0 + left + right).t()

    def _scale_of_each(self, sizes: Tensor, chunk_size: int) -> Tensor:
        """`_scale` of each of sizes (N,), at most chunk_size: (N, chunk_size, C); of no use behind a size."""
        left, right = (F.pad(edge.t(), (0, 0, 0, chunk_size)) for edge in self.edge_scale)
        frames = torch.arange(chunk_size, device=sizes.device)
        to_right_edge = self.kernel + frames - sizes.unsqueeze(1)
        return 1.0 + left[:chunk_size] + right[to_right_edge.clamp(min=0)] * (to_right_edge >= 0).unsqueeze(2)

    def forward(
        self, x: Tensor, chunk_size: int, past: Optional[Past] = None, only_chunks: Optional[Tensor] = None
    ) -> Tensor:
        """Map x (N, T, C) to (N, T, C).

        Args:
          chunk_size: in frames, -1 for one chunk; in streaming x is one chunk.
          past: the frames before x, in streaming.
          only_chunks: (N,) in streaming, frames that are a chunk to each stream, where one is shorter than a chunk
            altogether.
        """
        batch, frames, channels = x.shape
        if chunk_size < 0 or (chunk_size > frames and not is_traced()):
            chunk_size = frames
        causal = self.causal(F.pad(x, (0, 0, self.kernel // 2, 0)) if past is None else past.extend(x))
        missing = -frames % chunk_size
        chunks = F.pad(x, (0, 0, 0, missing)).reshape(-1, chunk_size, channels)
        scale = self._scale(chunk_size) if only_chunks is None else self._scale_of_each(only_chunks, chunk_size)
        inside = self.chunkwise(chunks) * scale
        return causal + inside.reshape(batch, frames + missing, channels)[:, :frames]


class ConvolutionModule(nn.Module):
    """Gated linear unit, depthwise convolution, SwooshR, linear."""

    def __init__(self, dim: int, kernel: int, causal: bool) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dim, 2 * dim)
        # Large values in the gate would make its derivative sparse; this holds them in range.
        self.gate_balancer = Balancer(
            positive=(Schedule((0.0, 0.05), (8000.0, 0.025)), 1.0),
            abs_value=(1.5, Schedule((0.0, 5.0), (8000.0, 10.0))),
        )
        self.causal, self.kernel = causal, kernel
        self.depthwise = ChunkCausalConv1d(dim, kernel) if causal else DepthwiseConv1d(dim, kernel, kernel // 2)
        self.balancer = Balancer(
            positive=(Schedule((0.0, 0.1), (8000.0, 0.05)), 1.0),
            abs_value=(Schedule((0.0, 0.2), (20000.0, 0.5)), 10.0),
        )
        self.whiten = Whiten(whitening_limit(7.5))
        self.out_proj = SwooshLinear(dim, dim, "r", scale=0.05)

    def forward(self, x: Tensor, masks: StackMasks, past: Optional[Past] = None) -> Tensor:
        """Map x (N, T, D) to (N, T, D); past: inputs of the depthwise convolution before x, in streaming."""
        x = self.in_proj(x)
        if self.gate_balancer.draw():
            value, gate = x.chunk(2, dim=2)
            x = torch.cat((value, self.gate_balancer.act(gate)), dim=2)
        x = F.glu(x, dim=2)
        if masks.padding is not None:
            x = x.masked_fill(masks.padding, 0.0)
        x = self.depthwise(x, masks.chunk_size, past, masks.only_chunks) if self.causal else self.depthwise(x)
        return self.out_proj(self.whiten(self.balancer(x)))
