"""WavLM's attention (https://arxiv.org/abs/2110.13900, section 3.1): its scores have a gated bias by offset."""

import math
from typing import Optional

import torch
from torch import Tensor, nn

from icefall_discrete.nn.attention.multi_head import MultiHeadAttention
from icefall_discrete.nn.scaling import Scheduled

_GATES = 2


class OffsetBias(nn.Module):
    """A bias of each head by the bucket of the offset; small offsets have one each, as T5's.

    Args:
      num_buckets: of both directions. largest_offset: from which on all are in the last. num_heads: H.
    """

    def __init__(self, num_buckets: int, largest_offset: int, num_heads: int) -> None:
        super().__init__()
        self.num_buckets, self.largest_offset = num_buckets, largest_offset
        self.table = nn.Embedding(num_buckets, num_heads)

    def forward(self, num_frames: int) -> Tensor:
        """(H, T, T) for T frames."""
        place = torch.arange(num_frames, device=self.table.weight.device)
        offsets = place.unsqueeze(0) - place.unsqueeze(1)
        return self.table(self._buckets(offsets)).permute(2, 0, 1)

    def _buckets(self, offsets: Tensor) -> Tensor:
        half = self.num_buckets // 2
        exact = half // 2
        distance = offsets.abs()
        share = (distance.float() / exact).clamp(min=1.0).log() / math.log(self.largest_offset / exact)
        far = (exact + (share * (half - exact)).long()).clamp(max=half - 1)
        return (offsets > 0).long() * half + torch.where(distance < exact, distance, far)


class GatedAttention(MultiHeadAttention):
    """Self-attention with that bias, which each frame lets through in its own measure."""

    def __init__(self, dim: int, num_heads: int, dropout: Scheduled) -> None:
        super().__init__(dim, num_heads, dropout)
        self.gate = nn.Linear(self.head_dim, 4 * _GATES)
        self.gate_scale = nn.Parameter(torch.ones(num_heads, 1, 1))

    def attend(self, x: Tensor, hidden: Optional[Tensor], bias: Tensor) -> Tensor:
        """Map x (N, T, D) to (N, T, D); hidden as of MultiHeadAttention, bias (H, T, T)."""
        gates = self.gate(self._by_head(x)).unflatten(3, (_GATES, 4)).sum(dim=4).sigmoid()
        first, second = gates.unbind(dim=3)
        let_through = first * (second * self.gate_scale.squeeze(2) - 1.0) + 2.0
        scores = self._scores(self.linear_q(x), self.linear_k(x)) + let_through.unsqueeze(3) * bias
        return self._attended(scores, self.linear_v(x), hidden)
