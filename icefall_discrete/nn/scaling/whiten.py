"""Whiten: an identity whose backward pass discourages a covariance with few large eigenvalues."""

import random
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.nn.scaling.schedule import Schedule, Scheduled

TINY = 1e-20
# Checked seldom while the metric is within its limit, and often after it was found above.
MIN_PROB, MAX_PROB = 0.025, 0.25


def whitening_limit(start: float, ratio: float = 2.0) -> Schedule:
    """The recipe's limit: `start` at batch 0, `ratio` x `start` from batch 20000 on."""
    return Schedule((0.0, start), (20000.0, ratio * start))


def whitening_metric_and_gradient(x: Tensor, num_groups: int) -> Tuple[Tensor, Tensor]:
    """Return the whitening metric of x (..., D) and its gradient (..., D).

    With C the covariance (not divided by the number of frames) of each of `num_groups` groups of channels, the metric
    is mean(eigenvalue^2) / mean(eigenvalue)^2 over all groups: 1 if C is a multiple of the identity, more otherwise.
    """
    dim = x.shape[-1]
    rows = x.reshape(-1, num_groups, dim // num_groups).transpose(0, 1)
    centred = rows - rows.mean(dim=1, keepdim=True)
    covariance = torch.bmm(centred.transpose(1, 2), centred)
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    mean_eigenvalue = diagonal.mean()
    square = mean_eigenvalue * mean_eigenvalue + TINY
    mean_square = covariance.square().sum() / dim
    metric = mean_square / square
    # d metric / d covariance, up to the factor 2 / dim. The square of `square` would be 0 in float32 for an x whose
    # frames hardly differ, such as the few frames of a short utterance on its own.
    slope = covariance / square
    slope.diagonal(dim1=1, dim2=2).sub_(metric * (mean_eigenvalue / square))
    gradient = torch.bmm(centred, slope).mul_(4.0 / dim)
    return metric, gradient.transpose(0, 1).reshape(x.shape)


class _Whitening(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, module: "Whiten") -> Tensor:
        ctx.save_for_backward(x)
        ctx.module = module
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.module.changed_gradient(x, grad), None


class Whiten(nn.Module):
    """Identity that, on a random share of training steps, pushes the covariance of x towards a multiple of identity.

    Zipformer, https://arxiv.org/abs/2310.11230.

    Args:
      limit: value of the metric below which nothing happens; 1 would be perfectly white.
      grad_scale: norm of the change relative to the norm of the gradient.
      num_groups: groups of channels that are whitened apart.
    """

    def __init__(self, limit: Scheduled, grad_scale: float = 0.01, num_groups: int = 1) -> None:
        super().__init__()
        self.limit = limit
        self.grad_scale = grad_scale
        self.num_groups = num_groups
        self.prob = MAX_PROB
        self._exceeded: Optional[Tensor] = None

    def changed_gradient(self, x: Tensor, grad: Tensor) -> Tensor:
        """Return `grad`, plus the whitening gradient where the metric exceeds the limit; set the next probability."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            metric, direction = whitening_metric_and_gradient(x.to(torch.float32), self.num_groups)
            exceeded = metric >= float(self.limit)
            if x.is_cuda:
                # Read at the next draw, when it has long arrived, so that the device is never waited for.
                self._exceeded = exceeded.to("cpu", non_blocking=True)
            else:
                self.prob = MAX_PROB if bool(exceeded) else MIN_PROB
                if self.prob == MIN_PROB:
                    return grad
            wide = grad.to(torch.float32)
            size = self.grad_scale * wide.norm() / (direction.norm() + TINY)
            return wide.addcmul(direction, size * exceeded).to(grad.dtype)

    def settled_prob(self) -> float:
        """Probability of acting on the next step, with what the device found last."""
        if self._exceeded is not None:
            self.prob = MAX_PROB if bool(self._exceeded) else MIN_PROB
            self._exceeded = None
        return self.prob

    def draw(self) -> bool:
        """Decide whether to act on this step."""
        if not (self.training and torch.is_grad_enabled()):
            return False
        return random.random() <= self.settled_prob()

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., D); the gradient may change."""
        return _Whitening.apply(x, self) if self.draw() else x


def noise_state(module: nn.Module) -> Dict[str, Any]:
    """How often each Whiten in `module` acts, by its name: {"whiten": {name: probability}}, for a checkpoint."""
    whitens = {name: part for name, part in module.named_modules() if isinstance(part, Whiten)}
    return {"whiten": {name: part.settled_prob() for name, part in whitens.items()}}


def load_noise_state(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Restore what `noise_state` gave."""
    for name, part in module.named_modules():
        if isinstance(part, Whiten):
            part.prob = state["whiten"][name]
