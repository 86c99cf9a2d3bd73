"""Multi-head attention over frames, with or without relative positions."""

import math
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.attention.context import Context
from icefall_discrete.nn.dropout import Dropout
from icefall_discrete.nn.scaling import Scheduled


def by_offset_to_by_source(scores: Tensor) -> Tensor:
    """Scores by offset (..., T, S + T - 1), the largest first, as scores by source frame (..., T, S).

    The targets are the last T of the sources: target t is at S - T + t, and source s is at place T - 1 - t + s of its
    row. With a zero before each row, rows read as if they were one shorter begin one place earlier each.
    """
    # One by one: in a trace a slice of a shape would be numbers that stay.
    *outer, num_targets, num_offsets = (scores.shape[axis] for axis in range(scores.dim()))
    padded = F.pad(scores, (1, 0)).flatten(-2)
    by_row = padded[..., num_targets:].reshape(*outer, num_targets, num_offsets)
    return by_row[..., : num_offsets - num_targets + 1]


class _Heads(nn.Module):
    """The projections of H heads of d = D / H dimensions, and what targets see once there are scores."""

    def __init__(self, dim: int, num_heads: int, dropout: Scheduled, source_dim: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"{num_heads} heads cannot share {dim} dimensions; give a number that divides them.")
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.linear_q = nn.Linear(dim, dim)
        self.linear_k = nn.Linear(source_dim, dim)
        self.linear_v = nn.Linear(source_dim, dim)
        self.linear_out = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, T, D) -> (N, H, T, d)."""
        # Not -1 for d: of no targets, or no rows, it would not be known.
        return x.reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)

    def _attended(self, scores: Tensor, values: Tensor, hidden: Optional[Tensor]) -> Tensor:
        """What targets see of values (N, S, D) by their scores (N, H, T, S)."""
        if hidden is not None:
            hidden = hidden.unsqueeze(1)
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=3)
        if hidden is not None:
            weights = weights.masked_fill(hidden, 0.0)
        seen = torch.matmul(self.dropout(weights).to(values.dtype), self._by_head(values))
        return self.linear_out(seen.transpose(1, 2).flatten(2))


class MultiHeadAttention(_Heads):
    """softmax(q k / sqrt(d)) v over H heads of d = D / H, https://arxiv.org/abs/1706.03762.

    Args:
      dim: D. num_heads: H, which divides it. dropout: of the weights. source_dim: D' of what is seen; None: D.
    """

    def __init__(self, dim: int, num_heads: int, dropout: Scheduled, source_dim: Optional[int] = None) -> None:
        super().__init__(dim, num_heads, dropout, source_dim or dim)

    def forward(self, x: Tensor, source: Tensor, hidden: Optional[Tensor] = None) -> Tensor:
        """Map targets x (N, T, D) to what they see of source (N, S, D'), (N, T, D); x itself in self-attention.

        hidden: bool, broadcast over (N, T, S), True where a target does not see a source; a target that sees none
        gets the output layer's bias.
        """
        scores = self._scores(self.linear_q(x), self.linear_k(source))
        return self._attended(scores, self.linear_v(source), hidden)

    def keys_and_values(self, source: Tensor) -> Tuple[Tensor, Tensor]:
        """What `look` needs of source (N, S, D'): two of (N, S, D), which may be kept and appended to."""
        return self.linear_k(source), self.linear_v(source)

    def look(self, x: Tensor, keys: Tensor, values: Tensor, hidden: Optional[Tensor]) -> Tensor:
        """`forward` with keys and values (N, S, D) of the source."""
        return self._attended(self._scores(self.linear_q(x), keys), values, hidden)

    def _scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, H, T, S) of queries (N, T, D) and keys (N, S, D)."""
        query, key = self._by_head(queries), self._by_head(keys)
        return torch.matmul(query, key.transpose(2, 3)) / math.sqrt(query.shape[3])


class RelativeAttention(_Heads):
    """Self-attention whose scores depend on the offset too: ((q + u) k + (q + v) p) / sqrt(d).

    Transformer-XL, https://arxiv.org/abs/1901.02860, section 3.3, with offsets to both sides as in ESPnet.

    Args:
      dim, num_heads, dropout: as of MultiHeadAttention.
    """

    def __init__(self, dim: int, num_heads: int, dropout: Scheduled) -> None:
        super().__init__(dim, num_heads, dropout, dim)
        self.linear_pos = nn.Linear(dim, dim, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        self.pos_bias_v = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Map x (N, T, D) to (N, T, D), by the offsets of the context, what it hides, and in a stream its past."""
        past, hidden = context.past, context.hidden
        queries, keys = self.linear_q(x), self.linear_k(x)
        if past is not None:
            keys = past.keys.extend(keys)
        query, key = self._by_head(queries), self._by_head(keys)
        encodings = self._by_head(self.linear_pos(context.offsets).unsqueeze(0))
        content = torch.matmul(query + self.pos_bias_u.unsqueeze(1), key.transpose(2, 3))
        place = torch.matmul(query + self.pos_bias_v.unsqueeze(1), encodings.transpose(2, 3))
        scores = (content + by_offset_to_by_source(place)) / math.sqrt(query.shape[3])
        values = self.linear_v(x)
        return self._attended(scores, values if past is None else past.values.extend(values), hidden)
