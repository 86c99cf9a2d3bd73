"""Dropout, by random numbers that a CPU draws quickly, and whose rate may follow a schedule."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.scaling import Scheduled

# Places that share one random number of 64 bits, and the numbers that each may get.
_PLACES, _NUMBERS = 4, 1 << 16
_HIGHEST = 1.0 - 1.0 / _NUMBERS  # the highest rate by which one of these numbers keeps a value


def dropped(x: Tensor, rate: float, training: bool) -> Tensor:
    """Return x, any shape, in training with single values set to zero and the others scaled up.

    PyTorch's own draws one number a value, which on a CPU takes longer than all else that a layer does with it. There
    four values share a number; the rate is kept to within 2^-17.

    Args:
      rate: in [0, 1], the share of values that are zero.
    Raises:
      ValueError: if the rate is higher than 1.
    """
    if not training or rate <= 0.0:
        return x
    if x.device.type != "cpu" or rate > _HIGHEST:
        return F.dropout(x, rate, True)
    drawn = torch.empty((x.numel() + _PLACES - 1) // _PLACES, dtype=torch.int64).random_(-(2**63), None)
    places = drawn.view(torch.int16)[: x.numel()].view(x.shape)
    kept = places >= round(rate * _NUMBERS) - _NUMBERS // 2
    return x * kept.to(x.dtype).mul_(1.0 / (1.0 - rate))


class Dropout(nn.Module):
    """`dropped` as a module.

    Args:
      rate: in [0, 1], a number or a schedule of the batch count.
    """

    def __init__(self, rate: Scheduled) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x, any shape, with values dropped."""
        return dropped(x, float(self.rate) if self.training else 0.0, self.training)
