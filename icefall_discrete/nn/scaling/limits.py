"""Draws of training, and small parameters that the sign of their gradient keeps in a range."""

import random
from typing import Sequence

import torch
from torch import Tensor

LIMIT_PROB = 0.6


def draw_limit(training: bool) -> bool:
    """Decide whether this step limits a parameter: often enough to work, seldom enough to be cheap."""
    return training and random.random() < LIMIT_PROB


def limited_gradient(parameter: Tensor, grad: Tensor, low: float, high: float) -> Tensor:
    """Turn round each gradient that would move a parameter further below `low` or above `high`."""
    beyond = parameter - parameter.clamp(low, high)
    return torch.where(beyond == 0.0, grad, torch.copysign(grad, beyond))


def kept_of(shape: Sequence[int], rate: float, device: torch.device) -> Tensor:
    """Draw what is not dropped with probability `rate`: float32 of 0 and 1 of this shape."""
    return torch.rand(tuple(shape), dtype=torch.float32, device=device).gt_(rate)
