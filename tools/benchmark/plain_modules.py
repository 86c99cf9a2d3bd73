"""A plain rendition of what the models room has written by hand: the same maths from PyTorch's own operations.

`plain()` puts it in place of the hand-written parts while a context lasts, so that the benchmark of a training step
has something to compare with. Random draws come in the same order, so that a step gives the same numbers.
"""

import contextlib
from typing import Callable, Iterator, Optional, Tuple
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.nn.depthwise import DepthwiseConv1d
from icefall_discrete.nn.encoders.zipformer import attention
from icefall_discrete.nn.scaling import Balancer, BiasNorm, Bypass, SwooshLinear, swoosh, whiten
from icefall_discrete.nn.scaling.limits import draw_limit

TINY = 1e-20
SWOOSH_OFFSET = {"l": 0.035, "r": 0.313261687}
Swoosh = Callable[[Tensor, str], Tensor]


def plain_swoosh(x: Tensor, kind: str) -> Tensor:
    """log(1 + exp(x - shift)) - 0.08 x - offset, differentiated by autograd."""
    shifted = x - swoosh.SHIFT[kind]
    return torch.logaddexp(torch.zeros_like(shifted), shifted) - swoosh.SLOPE * x - SWOOSH_OFFSET[kind]


def _swoosh_linear(activation: Swoosh) -> Callable[[SwooshLinear, Tensor], Tensor]:
    def forward(self: SwooshLinear, x: Tensor) -> Tensor:
        rate = float(self.dropout) if self.training else 0.0
        mask = swoosh.dropout_mask(x, rate) if rate > 0.0 else None
        hidden = activation(x, self.kind)
        return F.linear(hidden if mask is None else hidden * mask, self.weight, self.bias)

    return forward


def _bias_norm(self: BiasNorm, x: Tensor) -> Tensor:
    draw_limit(self.training)
    return x * (x - self.bias).pow(2).mean(dim=-1, keepdim=True).pow(-0.5) * self.log_scale.exp()


def _bypass(self: Bypass, origin: Tensor, x: Tensor) -> Tensor:
    scale = self.scale
    if self.training:
        if draw_limit(True):
            float(self.scale_min)
        rate = float(self.skip_rate)
        if rate > 0.0:
            scale = scale * (torch.rand((x.shape[0], 1, 1), device=x.device) > rate)
    return origin + (x - origin) * scale


def _depthwise(self: DepthwiseConv1d, x: Tensor) -> Tensor:
    out = F.conv1d(x.transpose(1, 2), self.weight, self.bias, padding=self.padding, groups=x.shape[2])
    return out.transpose(1, 2)


class _Balance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, module: Balancer) -> Tensor:
        ctx.save_for_backward(x)
        ctx.module = module
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        mean_range, rms_range, scale = ctx.module.limits()
        dims = [i for i in range(x.ndim) if i != ctx.module.channel_dim % x.ndim]
        with torch.enable_grad():
            values = x.detach().requires_grad_()
            mean, square = values.mean(dims, keepdim=True), values.pow(2).mean(dims, keepdim=True)
            ratio = mean / (square - mean * mean).clamp(min=TINY).sqrt()
            rms = square.clamp(min=TINY).sqrt()
            penalty = (ratio - ratio.clamp(*mean_range)).abs() + (rms.clamp(*rms_range) / rms).log().abs()
            (push,) = torch.autograd.grad(penalty.sum(), values)
        push = push * (scale / push.pow(2).mean(dims, keepdim=True).sqrt().clamp(min=TINY))
        return grad + grad.abs() * push, None


def _whitening(x: Tensor, num_groups: int) -> Tuple[Tensor, Tensor]:
    with torch.enable_grad():
        values = x.detach().requires_grad_()
        rows = values.reshape(-1, num_groups, x.shape[-1] // num_groups).transpose(0, 1)
        rows = rows - rows.mean(dim=1, keepdim=True)
        covariance = torch.matmul(rows.transpose(1, 2), rows)
        mean_eigenvalue = covariance.diagonal(dim1=1, dim2=2).mean()
        metric = covariance.pow(2).sum() / x.shape[-1] / (mean_eigenvalue**2 + TINY)
        (gradient,) = torch.autograd.grad(metric, values)
    return metric.detach(), gradient


class _Penalty(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores: Tensor, penalty: float) -> Tensor:
        ctx.save_for_backward(scores)
        ctx.penalty = penalty
        return scores.view_as(scores)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Tensor, None]:
        (scores,) = ctx.saved_tensors
        return grad + ctx.penalty * scores.sign() * (scores.abs() > attention.PENALTY_LIMIT), None


class _Attention:
    @staticmethod
    def apply(
        query: Tensor,
        key: Tensor,
        pos_query: Optional[Tensor],
        encodings: Optional[Tensor],
        hidden: Optional[Tensor],
        penalty: float,
    ) -> Tuple[Tensor, Tensor]:
        """Weights (H, N, T, S) and those of head 0."""
        scores = torch.matmul(query, key.transpose(2, 3))
        if encodings is not None:
            by_offset = torch.matmul(pos_query, encodings.unsqueeze(1))
            scores = scores + attention._shifted_rows(by_offset, key.shape[2])
        if penalty > 0.0:
            scores = _Penalty.apply(scores, penalty)
        if hidden is not None:
            scores = scores.masked_fill(hidden, attention.HIDDEN_SCORE)
        weights = scores.softmax(dim=-1)
        return weights, weights[0]


@contextlib.contextmanager
def plain(activation: Swoosh = plain_swoosh) -> Iterator[None]:
    """Use the plain rendition in every model while the context lasts, with `activation` (x, "l" or "r") as Swoosh."""
    replaced = [
        (SwooshLinear, "forward", _swoosh_linear(activation)),
        (BiasNorm, "forward", _bias_norm),
        (Bypass, "forward", _bypass),
        (DepthwiseConv1d, "forward", _depthwise),
        (Balancer, "act", lambda self, x: _Balance.apply(x, self)),
        (whiten, "whitening_metric_and_gradient", _whitening),
        (attention, "_AttentionWeights", _Attention),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, substitute in replaced:
            stack.enter_context(mock.patch.object(owner, name, substitute))
        yield
