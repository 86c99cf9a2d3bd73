"""Balancer: an identity whose backward pass nudges each channel's mean and size into a range."""

import math
import random
from typing import Any, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.nn.fused import fusible
from icefall_discrete.nn.scaling.schedule import Schedule, Scheduled

TINY = 1e-20
# For normally distributed values: root mean square = sqrt(pi / 2) x mean absolute value.
RMS_OVER_ABS = math.sqrt(math.pi / 2)
# 1 / (sqrt(pi) ln 2) x atanh(y) is the recipe's stand-in for the inverse error function.
INVERSE_ERF_SCALE = 0.8139535143


def mean_over_deviation(proportion_positive: float) -> float:
    """Mean / standard deviation at which about `proportion_positive` of the values of a channel are above zero."""
    y = 2.0 * proportion_positive - 1.0
    margin = 1e-10
    return INVERSE_ERF_SCALE * 0.5 * (math.log(1.0 + y + margin) - math.log(1.0 - y + margin))


@fusible
def _moments(values: Tensor, dims: Tuple[int, ...]) -> Tuple[Tensor, Tensor]:
    """Mean and mean square over `dims`, which stay with size 1."""
    return values.mean(dim=dims, keepdim=True), (values * values).mean(dim=dims, keepdim=True)


@fusible
def _pushed(grad: Tensor, values: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """grad + |grad| (a - b values)."""
    wide = grad.to(torch.float32)
    return torch.addcmul(wide, wide.abs(), torch.addcmul(a, values, b, value=-1.0)).to(grad.dtype)


def balancer_gradient(
    x: Tensor, grad: Tensor, mean_range: Tuple[float, float], rms_range: Tuple[float, float], scale: float, channel: int
) -> Tensor:
    """Return `grad` plus |grad| x the direction that brings each channel of x into its ranges.

    The penalty of a channel is its distance |m - clamp(m)| of m = mean / deviation, plus |log(clamp(rms) / rms)|. Its
    gradient is linear in x for each channel, so that two sums over x are all that is needed; it is then scaled to root
    mean square `scale`. With z = (x - mean) / deviation, s and r the signs of the two distances, w = r variance /
    rms^2, it is, up to a factor, s - w m - (s m + w) z, whose mean square is (s - w m)^2 + (s m + w)^2. A channel has
    few numbers, so that a GPU waits for the launches: operations were counted.
    """
    values = x.to(torch.float32)
    mean, square = _moments(values, tuple(i for i in range(x.ndim) if i != channel))
    variance = torch.addcmul(square, mean, mean, value=-1.0)
    inverse_deviation = variance.clamp(min=TINY).rsqrt_()
    ratio = mean * inverse_deviation
    mean_sign = (ratio - ratio.clamp(*mean_range)).sign_()
    square = square.clamp(min=TINY)
    rms_sign = (square.clamp(*(limit * limit for limit in rms_range)) - square).sign_()
    varies = variance > TINY
    ratio.mul_(varies)
    inverse_deviation.mul_(varies)
    drawn = rms_sign.mul_(variance).div_(square)
    level = torch.addcmul(mean_sign, drawn, ratio, value=-1.0)
    slope = torch.addcmul(drawn, mean_sign, ratio)
    size = torch.hypot(level, slope).clamp_(min=TINY).div_(scale)
    b = slope.mul_(inverse_deviation).div_(size)
    a = torch.addcmul(level.div_(size), b, mean)
    return _pushed(grad, values, a, b)


class _Balance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, module: "Balancer") -> Tensor:
        ctx.save_for_backward(x)
        ctx.limits = module.limits()
        ctx.channel = module.channel_dim % x.ndim
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        mean_range, rms_range, scale = ctx.limits
        return balancer_gradient(x, grad, mean_range, rms_range, scale, ctx.channel), None


class Balancer(nn.Module):
    """Identity that, on a random share of training steps, changes the gradient to keep channels in range.

    Zipformer, https://arxiv.org/abs/2310.11230.

    Args:
      channel_dim: the dimension of the channels.
      positive: (least, greatest) share of positive values.
      abs_value: (least, greatest) mean absolute value.
      prob: share of the steps on which it acts.
      grad_scale: size of the change relative to each gradient value.
    """

    def __init__(
        self,
        channel_dim: int = -1,
        positive: Tuple[Scheduled, Scheduled] = (0.05, 0.95),
        abs_value: Tuple[Scheduled, Scheduled] = (0.2, 100.0),
        prob: Scheduled = -1.0,
        grad_scale: float = 0.04,
    ) -> None:
        super().__init__()
        self.channel_dim = channel_dim
        self.min_positive, self.max_positive = positive
        self.min_abs, self.max_abs = abs_value
        self.prob = Schedule((0.0, 0.5), (8000.0, 0.125)) if isinstance(prob, float) and prob < 0 else prob
        self.grad_scale = grad_scale

    def limits(self) -> Tuple[Tuple[float, float], Tuple[float, float], float]:
        """Return today's ranges of mean / deviation and of root mean square, and the gradient scale."""
        mean_range = (mean_over_deviation(float(self.min_positive)), mean_over_deviation(float(self.max_positive)))
        rms_range = (RMS_OVER_ABS * float(self.min_abs), RMS_OVER_ABS * float(self.max_abs))
        return mean_range, rms_range, self.grad_scale

    def draw(self) -> bool:
        """Decide whether to act on this step."""
        return self.training and torch.is_grad_enabled() and random.random() < float(self.prob)

    def forward(self, x: Tensor) -> Tensor:
        """Return x; the gradient may change."""
        return self.act(x) if self.draw() else x

    def act(self, x: Tensor) -> Tensor:
        """Return x, and change its gradient on this step without drawing."""
        return _Balance.apply(x, self)
