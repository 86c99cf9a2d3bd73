"""Keep small parameters in a range by the sign of their gradient."""

import random

from torch import Tensor

LIMIT_PROB = 0.6


def draw_limit(training: bool) -> bool:
    """Decide whether this step limits a parameter: often enough to work, seldom enough to be cheap."""
    return training and random.random() < LIMIT_PROB


def limited_gradient(parameter: Tensor, grad: Tensor, low: float, high: float) -> Tensor:
    """Turn round each gradient that would move a parameter further below `low` or above `high`."""
    wrong = ((parameter < low) & (grad > 0)) | ((parameter > high) & (grad < 0))
    return grad.masked_fill(wrong, 0.0) - grad.masked_fill(~wrong, 0.0)
