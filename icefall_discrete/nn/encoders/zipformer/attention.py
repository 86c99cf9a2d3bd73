"""Attention weights computed once a layer, and the three modules that use them.

Letters: N utterances, T target frames, S source frames (T = S but for streaming), H heads, D channels.
"""

import random
from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.scaling import Balancer, Schedule, Whiten, scaled_linear
from icefall_discrete.nn.scaling.whiten import whitening_limit
from icefall_discrete.nn.stream_state import Past
from icefall_discrete.nn.tracing import applied, is_traced

HIDDEN_SCORE = -1000.0
PENALTY_PROB, PENALTY_LIMIT, PENALTY = 0.1, 25.0, 1.0e-04


def _shifted_rows(scores: Tensor, num_sources: int) -> Tensor:
    """View scores by offset (..., T, T + S - 1) as scores by source frame (..., T, S): row t starts T - 1 - t later."""
    num_targets = scores.shape[-2]
    if is_traced():  # without strides, which formats of networks do not know: rows one longer, read as rows one shorter
        width = num_targets + num_sources - 1
        rows = F.pad(scores, (0, 1)).flatten(-2)[:, num_targets - 1 : num_targets - 1 + num_targets * width]
        return rows.view(-1, num_targets, width)[:, :, :num_sources]
    stride = scores.stride()
    return scores.as_strided(
        (*scores.shape[:-1], num_sources), (*stride[:-2], stride[-2] - 1, 1), scores.storage_offset() + num_targets - 1
    )


class _AttentionWeights(torch.autograd.Function):
    """softmax over sources of query . key + positional query . encoding(offset), hidden where the mask says so.

    Inputs: query (H, N, T, d), key (H, N, S, d), positional query (H, N, T, p), encodings (H, p, T + S - 1), the last
    two or None. Returns the weights (H, N, T, S) and a copy of head 0's, (N, T, S), so that the module that uses only
    head 0 does not cost a gradient of the size of all heads.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        pos_query: Optional[Tensor],
        encodings: Optional[Tensor],
        hidden: Optional[Tensor],
        penalty: float,
    ) -> Tuple[Tensor, Tensor]:
        heads, batch, targets, _ = query.shape
        sources = key.shape[2]
        query, key = query.flatten(0, 1), key.flatten(0, 1)
        if encodings is None or pos_query is None:
            scores = torch.bmm(query, key.transpose(1, 2))
        else:
            pos_query = pos_query.flatten(1, 2)
            by_offset = torch.bmm(pos_query, encodings).view(heads * batch, targets, -1)
            scores = torch.baddbmm(_shifted_rows(by_offset, sources), query, key.transpose(1, 2))
        scores = scores.view(heads, batch, targets, sources)
        excess = None
        if penalty > 0.0:
            excess = (scores > PENALTY_LIMIT).to(torch.int8) - (scores < -PENALTY_LIMIT).to(torch.int8)
        if hidden is not None:
            scores.masked_fill_(hidden, HIDDEN_SCORE)
        weights = torch.softmax(scores, dim=-1).to(query.dtype)
        ctx.save_for_backward(query, key, pos_query, encodings, weights, excess)
        ctx.penalty = penalty
        return weights, weights[0].clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_first: Tensor) -> Tuple[Optional[Tensor], ...]:
        query, key, pos_query, encodings, weights, excess = ctx.saved_tensors
        heads, batch, targets, sources = weights.shape
        dtype = query.dtype
        grad = torch._softmax_backward_data(grad.to(dtype), weights, -1, dtype)
        grad[0] += torch._softmax_backward_data(grad_first.to(dtype), weights[0], -1, dtype)
        if excess is not None:
            grad.add_(excess, alpha=ctx.penalty)
        grad = grad.flatten(0, 1)
        query_grad = torch.bmm(grad, key).view(heads, batch, targets, -1)
        key_grad = torch.bmm(grad.transpose(1, 2), query).view(heads, batch, sources, -1)
        pos_query_grad = encodings_grad = None
        if encodings is not None:
            by_offset = grad.new_zeros((heads * batch, targets, targets + sources - 1))
            _shifted_rows(by_offset, sources).copy_(grad)
            by_offset = by_offset.view(heads, batch * targets, -1)
            pos_query_grad = torch.bmm(by_offset, encodings.transpose(1, 2)).view(heads, batch, targets, -1)
            encodings_grad = torch.bmm(pos_query.transpose(1, 2), by_offset)
        return query_grad, key_grad, pos_query_grad, encodings_grad, None, None


def _by_head(x: Tensor, num_heads: int) -> Tensor:
    """(N, T, H d) -> (H, N, T, d) in memory order."""
    batch, frames, dim = x.shape
    return x.view(batch, frames, num_heads, dim // num_heads).permute(2, 0, 1, 3).contiguous()


def _by_frame(x: Tensor) -> Tensor:
    """(H, N, T, d) -> (N, T, H d)."""
    return x.permute(1, 2, 0, 3).flatten(2)


class AttentionWeights(nn.Module):
    """Multi-head attention weights with relative positions, shared by the other modules of a layer.

    Zipformer, https://arxiv.org/abs/2310.11230. There is no division by sqrt(query_head_dim): the initial scale
    stands in for it, with an optimiser that learns scales (ScaledAdam).
    """

    def __init__(self, dim: int, pos_dim: int, num_heads: int, query_head_dim: int, pos_head_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.sizes = (num_heads * query_head_dim, num_heads * query_head_dim, num_heads * pos_head_dim)
        self.in_proj = scaled_linear(dim, sum(self.sizes), query_head_dim**-0.25)
        self.linear_pos = scaled_linear(pos_dim, num_heads * pos_head_dim, 0.05, bias=False)
        self.pos_skip_rate = Schedule((0.0, 0.5), (4000.0, 0.0))
        self.whiten_keys = Whiten(whitening_limit(3.0), grad_scale=0.025, num_groups=num_heads)
        # The weights do not change if a constant is added to all keys, so rounding alone would let their mean drift.
        self.balance_keys = Balancer(positive=(0.4, 0.6), abs_value=(0.0, 100.0), prob=0.025)

    def forward(
        self, x: Tensor, positions: Tensor, hidden: Optional[Tensor], past: Optional[Past] = None
    ) -> Tuple[Tensor, Tensor]:
        """Return weights (H, N, T, S) and head 0's (N, T, S) for x (N, T, D); S = T without a past.

        Args:
          positions: (T + S - 1, pos_dim), see RelativePositions.
          hidden: bool, broadcast over (N, T, S), or None.
          past: keys of the frames before x, in streaming.
        """
        query, key, pos_query = self.in_proj(x).split(self.sizes, dim=2)
        key = self.whiten_keys(self.balance_keys(key))
        if past is not None:
            key = past.extend(key)
        encodings = None
        if not self.training or random.random() >= float(self.pos_skip_rate):
            encodings = self.linear_pos(positions).view(positions.shape[0], self.num_heads, -1).permute(1, 2, 0)
            pos_query = _by_head(pos_query, self.num_heads)
        else:
            pos_query = None
        penalty = PENALTY if self.training and random.random() < PENALTY_PROB else 0.0
        query, key = _by_head(query, self.num_heads), _by_head(key, self.num_heads)
        return applied(_AttentionWeights, query, key, pos_query, encodings, hidden, penalty)


def uniform_weights(weights: Tensor) -> Tensor:
    """Replace each row of weights (..., T, S) by equal weights on the sources that are not hidden."""
    seen = (weights.detach() > 0.0).to(weights.dtype)
    return seen / seen.sum(dim=-1, keepdim=True)


class SelfAttention(nn.Module):
    """Values averaged with attention weights that are already there."""

    def __init__(self, dim: int, num_heads: int, value_head_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj = nn.Linear(dim, num_heads * value_head_dim)
        self.out_proj = scaled_linear(num_heads * value_head_dim, dim, 0.05)
        self.whiten = Whiten(whitening_limit(7.5, ratio=3.0))

    def forward(self, x: Tensor, weights: Tensor, past: Optional[Past] = None) -> Tensor:
        """Map x (N, T, D) with weights (H, N, T, S) to (N, T, D); past: values of the S - T frames before x."""
        values = self.in_proj(x)
        values = _by_head(values if past is None else past.extend(values), self.num_heads)
        return self.whiten(self.out_proj(_by_frame(torch.matmul(weights, values))))


class NonlinAttention(nn.Module):
    """Averages a gated value with head 0's weights and gates the result: out_proj(y * (weights (x * tanh(s))))."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dim, 3 * hidden_dim)
        self.out_proj = scaled_linear(hidden_dim, dim, 0.05)
        # Well-trained instances have large values before the tanh, hence the high least absolute value.
        self.balancer = Balancer(
            positive=(Schedule((0.0, 0.25), (20000.0, 0.05)), Schedule((0.0, 0.75), (20000.0, 0.95))),
            abs_value=(0.5, 5.0),
        )
        self.whiten1 = Whiten(whitening_limit(5.0))
        self.whiten2 = Whiten(whitening_limit(5.0, ratio=3.0))

    def forward(self, x: Tensor, weights: Tensor, past: Optional[Past] = None) -> Tensor:
        """Map x (N, T, D) with one head's weights (N, T, S) to (N, T, D); past: gated values of the frames before x."""
        gate, value, out_gate = self.in_proj(x).chunk(3, dim=2)
        gate = torch.tanh(self.balancer(gate))
        value = self.whiten1(value) * gate
        averaged = torch.bmm(weights, (value if past is None else past.extend(value)).to(weights.dtype))
        return self.whiten2(self.out_proj(averaged * out_gate))
