"""Relative positions as short vectors: fine near zero, coarse far away."""

import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.tracing import is_traced

DROPOUT = 0.15
FIRST_SIZE = 1000


def position_table(max_offset: int, dim: int) -> Tensor:
    """Encodings of the offsets -max_offset .. max_offset, (2 max_offset + 1, dim) float32.

    An offset x is compressed to sign(x) c log(1 + |x| / c), c = sqrt(dim), then by an arc tangent to the unit circle,
    of which the first dim / 2 harmonics are taken: cosines at even places, sines at odd ones. The last value is 1.
    """
    table = _encodings(torch.arange(-max_offset, max_offset + 1, dtype=torch.float32).unsqueeze(1), dim)
    table[:, -1] = 1.0
    return table


def _encodings(offset: Tensor, dim: int) -> Tensor:
    """Those of offsets (L, 1), (L, dim), whose last value is still a sine."""
    near = math.sqrt(dim)
    compressed = near * offset.sign() * ((offset.abs() + near).log() - math.log(near))
    angle = torch.atan(compressed * (2.0 * math.pi / dim))
    phase = angle * torch.arange(1, dim // 2 + 1)
    return torch.stack((phase.cos(), phase.sin()), dim=2).flatten(1)


class RelativePositions(nn.Module):
    """Compact relative positional encoding with dropout; no parameters, and a table that grows when needed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"pos_dim is {dim}, expected an even number.")
        self.dim = dim
        self._table: Optional[Tensor] = None

    def forward(self, x: Tensor, left_context: int = 0) -> Tensor:
        """Return (left_context + 2 T - 1, dim) for x (N, T, D): offsets -(left_context + T - 1) .. T - 1."""
        num_frames = x.shape[1]
        needed = num_frames + left_context - 1
        if is_traced():  # a table would end somewhere
            offsets = torch.arange(-needed, num_frames, dtype=torch.float32).unsqueeze(1)
            return F.pad(_encodings(offsets, self.dim)[:, :-1], (0, 1), value=1.0)
        table = self._table
        if table is None or table.shape[0] < 2 * needed + 1:
            table = position_table(max(FIRST_SIZE, needed), self.dim)
        if table.device != x.device:
            table = table.to(x.device)
        self._table = table
        zero = table.shape[0] // 2
        return dropped(table[zero - needed : zero + num_frames], DROPOUT, self.training)
