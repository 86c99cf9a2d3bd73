"""Dropout whose rate may follow a schedule."""

import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.scaling import Scheduled


class Dropout(nn.Module):
    """Zeroes single values in training and scales up the others.

    Args:
      rate: in [0, 1), a number or a schedule of the batch count.
    """

    def __init__(self, rate: Scheduled) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x, any shape, with values dropped."""
        rate = float(self.rate) if self.training else 0.0
        return F.dropout(x, rate, True) if rate > 0.0 else x
