"""The Swoosh activations, alone and fused with dropout and the linear layer that follows.

Zipformer, https://arxiv.org/abs/2310.11230, section 3.4:
SwooshR(x) = log(1 + exp(x - 1)) - 0.08 x - 0.313261687 and SwooshL(x) = log(1 + exp(x - 4)) - 0.08 x - 0.035.
With t = x - shift both are softplus(t) - 0.08 t - constant, and their slope is sigmoid(t) - 0.08.
"""

from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.fused import fusible
from icefall_discrete.nn.scaling.limits import kept_of
from icefall_discrete.nn.scaling.linear import scaled_linear
from icefall_discrete.nn.scaling.schedule import Scheduled
from icefall_discrete.nn.tracing import applied

SLOPE = 0.08
SHIFT = {"l": 4.0, "r": 1.0}
CONSTANT = {"l": 0.035 + SLOPE * 4.0, "r": 0.313261687 + SLOPE * 1.0}


def _shifted(x: Tensor, kind: str) -> Tensor:
    return (x if x.dtype in (torch.float32, torch.float64) else x.float()) - SHIFT[kind]


def _value(shifted: Tensor, kind: str) -> Tensor:
    return F.softplus(shifted).add_(shifted, alpha=-SLOPE).sub_(CONSTANT[kind])


@fusible
def _activated(x: Tensor, mask: Optional[Tensor], kind: str) -> Tuple[Tensor, Tensor]:
    """x - shift, for the backward pass, and mask * swoosh(x)."""
    shifted = _shifted(x, kind)
    hidden = _value(shifted, kind)
    return shifted, hidden if mask is None else hidden.mul_(mask)


@fusible
def _times_slope(grad: Tensor, shifted: Tensor, mask: Optional[Tensor]) -> Tensor:
    x_grad = torch.sigmoid(shifted).sub_(SLOPE).mul_(grad)
    return x_grad if mask is None else x_grad.mul_(mask)


class _Swoosh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str) -> Tensor:
        shifted, value = _activated(x, None, kind)
        ctx.save_for_backward(shifted)
        return value.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        (shifted,) = ctx.saved_tensors
        return _times_slope(grad, shifted, None).to(grad.dtype), None


def swoosh_l(x: Tensor) -> Tensor:
    """SwooshL of x, any shape."""
    return applied(_Swoosh, x, "l")


def swoosh_r(x: Tensor) -> Tensor:
    """SwooshR of x, any shape."""
    return applied(_Swoosh, x, "r")


class _SwooshLinear(torch.autograd.Function):
    """linear(mask * swoosh(x)); the activation is kept on a CPU, where time is scarce, and computed again on a GPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mask: Optional[Tensor], kind: str) -> Tensor:
        shifted, hidden = _activated(x, mask, kind)
        ctx.save_for_backward(shifted, None if x.is_cuda else hidden, weight, mask)
        ctx.kind = kind
        ctx.x_dtype = x.dtype
        return F.linear(hidden, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        shifted, hidden, weight, mask = ctx.saved_tensors
        if hidden is None:
            hidden = _value(shifted, ctx.kind)
            if mask is not None:
                hidden.mul_(mask)
        rows = grad.reshape(-1, grad.shape[-1])
        weight_grad = torch.mm(rows.t(), hidden.reshape(-1, hidden.shape[-1]).to(rows.dtype))
        hidden_grad = torch.mm(rows, weight.to(rows.dtype)).view(hidden.shape)
        x_grad = _times_slope(hidden_grad, shifted, mask)
        return x_grad.to(ctx.x_dtype), weight_grad.to(weight.dtype), rows.sum(dim=0).to(weight.dtype), None, None


class SwooshLinear(nn.Module):
    """Swoosh, then dropout with one mask for all frames of an utterance, then a linear layer.

    Args:
      in_dim, out_dim: sizes of the linear layer.
      kind: "l" or "r".
      scale: initial scale of the linear layer.
      dropout: rate, a number or a schedule.
    """

    def __init__(self, in_dim: int, out_dim: int, kind: str, scale: float, dropout: Scheduled = 0.0) -> None:
        super().__init__()
        linear = scaled_linear(in_dim, out_dim, scale)
        self.weight = linear.weight
        self.bias = linear.bias
        self.kind = kind
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, ..., in_dim) to (N, ..., out_dim)."""
        mask = None
        rate = float(self.dropout) if self.training else 0.0
        if rate > 0.0:
            mask = dropout_mask(x, rate)
        return applied(_SwooshLinear, x, self.weight, self.bias, mask, self.kind)


def dropout_mask(x: Tensor, rate: float) -> Tensor:
    """Mask that drops channels of whole utterances: for x (N, ..., D), (N, 1, ..., D) of 0 and 1 / (1 - rate)."""
    shape = (x.shape[0], *(1 for _ in x.shape[2:]), x.shape[-1])
    return kept_of(shape, rate, x.device).mul_(1.0 / (1.0 - rate))
