"""The ConvNeXt block of Vocos, Siuzdak 2023, https://arxiv.org/abs/2306.00814; submodules have the published names."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL = 7
REACH = KERNEL // 2
NORM_EPS = 1e-6


class VocosBlock(nn.Module):
    """Depthwise convolution, norm and a two-layer network with a gain per channel, added to the input (..., C, T).

    Args:
      norm: of the C channels of a frame, on the last axis. dim: C. hidden_dim: inner width. gain: at the start.
    """

    def __init__(self, norm: nn.Module, dim: int, hidden_dim: int, gain: float = 1.0) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, KERNEL, padding=REACH, groups=dim)
        self.norm = norm
        self.pwconv1 = nn.Linear(dim, hidden_dim)
        self.pwconv2 = nn.Linear(hidden_dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), gain))

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        inner = self.norm(self.dwconv(states).transpose(-1, -2))
        return states + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(inner)))).transpose(-1, -2)
