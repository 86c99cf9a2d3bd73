"""Sinusoids of positions, https://arxiv.org/abs/1706.03762, added to frames or given to relative attention."""

import abc
import math
from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.nn.dropout import Dropout
from icefall_discrete.nn.scaling import Scheduled
from icefall_discrete.nn.tracing import is_traced

_FIRST_SIZE = 1000
_LONGEST_WAVE = 10000.0


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Sines (even places) and cosines (odd places) of positions (P,) at wave lengths of 2 pi to 20000 pi, (P, dim)."""
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * -(math.log(_LONGEST_WAVE) / dim))
    angles = positions.to(torch.float32).unsqueeze(1) * rates
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)


class Positions(nn.Module, abc.ABC):
    """Scales frames by sqrt(D) and knows the sinusoids of offsets; no parameters, and a table that grows when needed.

    Args:
      dim: D, even. dropout: of the sum, or of frames and sinusoids.
    """

    def __init__(self, dim: int, dropout: Scheduled) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"positions of {dim} dimensions are asked for, expected an even number.")
        self.dim = dim
        self.dropout = Dropout(dropout)
        self._table: Optional[Tensor] = None

    @abc.abstractmethod
    def placed(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Frames (N, T, D) for layers, from x (N, T, D), and sinusoids of their offsets, none if these are absolute."""

    @abc.abstractmethod
    def stream(self, x: Tensor, processed: Tensor, left: int) -> Tuple[Tensor, Tensor]:
        """As `placed` in evaluation mode, for chunks of streams: `left` frames before them are seen too.

        processed: (N,), on the CPU, frames of each stream before its chunk.
        """

    def _between(self, first: int, last: int, like: Tensor) -> Tensor:
        """Sinusoids of the offsets first, first + 1, ..., last, (last - first + 1, D)."""
        if is_traced():  # a table would end somewhere
            return sinusoids(torch.arange(first, last + 1), self.dim)
        needed = max(-first, last)
        table = self._table
        if table is None or len(table) < 2 * needed + 1:
            largest = max(_FIRST_SIZE, needed)
            table = sinusoids(torch.arange(-largest, largest + 1), self.dim)
        self._table = table = table.to(like)
        zero = len(table) // 2
        return table[zero + first : zero + last + 1]

    def _scaled(self, x: Tensor) -> Tensor:
        return x * math.sqrt(self.dim)


class AbsolutePositions(Positions):
    """Adds to each frame, scaled by sqrt(D), the sinusoids of its place."""

    def placed(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """`forward`, and no offsets."""
        return self(x), x.new_zeros(0, self.dim)

    def stream(self, x: Tensor, processed: Tensor, left: int) -> Tuple[Tensor, Tensor]:
        """`forward` from the place of each stream on, and no offsets."""
        places = processed.unsqueeze(1) + torch.arange(x.shape[1])
        added = sinusoids(places.flatten(), self.dim).reshape(places.shape[0], places.shape[1], self.dim).to(x)
        return self._scaled(x) + added, x.new_zeros(0, self.dim)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Map x (N, T, D) to (N, T, D); its first frame is at place `start`."""
        return self.dropout(self._scaled(x) + self._between(start, start + x.shape[1] - 1, x))


class RelativePositions(Positions):
    """Scales frames by sqrt(D); the sinusoids of the offsets between them go to `RelativeAttention`."""

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, D) to (N, T, D) and the sinusoids of the offsets T - 1, T - 2, ..., -(T - 1), (2 T - 1, D)."""
        reach = x.shape[1] - 1
        offsets = self._between(-reach, reach, x).flip(0)
        return self.dropout(self._scaled(x)), self.dropout(offsets)

    def placed(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """`forward`."""
        return self(x)

    def stream(self, x: Tensor, processed: Tensor, left: int) -> Tuple[Tensor, Tensor]:
        """Frames, and the sinusoids of the offsets left + T - 1, left + T - 2, ..., -(T - 1)."""
        reach = x.shape[1] - 1
        return self._scaled(x), self._between(-reach, left + reach, x).flip(0)
