"""Bypass: a learned mixture, per channel, of a module's input and output, with layer skipping in training."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.nn.fused import fusible
from icefall_discrete.nn.scaling.limits import draw_limit, kept_of, limited_gradient
from icefall_discrete.nn.scaling.schedule import Schedule, Scheduled
from icefall_discrete.nn.tracing import applied


@fusible
def _mixed(origin: Tensor, x: Tensor, factor: Tensor) -> Tuple[Tensor, Tensor]:
    """x - origin, and origin + (x - origin) * factor."""
    difference = x - origin
    return difference, torch.addcmul(origin.to(factor.dtype), difference.to(factor.dtype), factor).to(origin.dtype)


@fusible
def _mix_gradients(grad: Tensor, difference: Tensor, factor: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Gradients of origin and x, and that of the factor, summed over the frames of each utterance."""
    x_grad = (grad * factor).to(grad.dtype)
    return grad - x_grad, x_grad, (grad * difference).to(factor.dtype).sum(dim=1, keepdim=True)


class _Mix(torch.autograd.Function):
    """origin + (x - origin) * scale * keep, with the gradient of `scale` optionally limited to [low, 1]."""

    @staticmethod
    def forward(
        ctx: Any, origin: Tensor, x: Tensor, scale: Tensor, keep: Optional[Tensor], low: Optional[float]
    ) -> Tensor:
        factor = scale if keep is None else scale * keep
        difference, mixed = _mixed(origin, x, factor)
        ctx.save_for_backward(difference, scale, keep, factor)
        ctx.low = low
        return mixed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        difference, scale, keep, factor = ctx.saved_tensors
        origin_grad, x_grad, by_utterance = _mix_gradients(grad, difference, factor)
        if keep is not None:
            by_utterance = by_utterance * keep
        scale_grad = by_utterance.sum(dim=(0, 1))
        if ctx.low is not None:
            scale_grad = limited_gradient(scale, scale_grad, ctx.low, 1.0)
        return origin_grad, x_grad, scale_grad, None, None


class Bypass(nn.Module):
    """origin + (x - origin) * scale, with `scale` (dim,) learned; 0 skips the module that made x, 1 keeps it alone.

    Early in training the scale is kept near 1, so that every module has to learn something. Whole utterances are
    skipped with probability `skip_rate`. Zipformer, https://arxiv.org/abs/2310.11230.
    """

    def __init__(self, dim: int, skip_rate: Scheduled = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), 0.5))
        self.skip_rate = skip_rate
        self.scale_min = Schedule((0.0, 0.9), (20000.0, 0.2))

    def forward(self, origin: Tensor, x: Tensor) -> Tensor:
        """Mix origin and x, both (N, T, dim)."""
        keep = None
        low = None
        if self.training:
            if draw_limit(True):
                low = float(self.scale_min)
            skip_rate = float(self.skip_rate)
            if skip_rate > 0.0:
                keep = kept_of((x.shape[0], 1, 1), skip_rate, x.device).to(self.scale.dtype)
        return applied(_Mix, origin, x, self.scale, keep, low)
