"""Change of frame rate between stacks."""

import torch
from torch import Tensor, nn

from icefall_discrete.nn.tracing import is_traced


class Downsample(nn.Module):
    """Mean of every `factor` frames with learned weights; the last frame is repeated to fill the last group."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, T, D) to (N, ceil(T / factor), D)."""
        batch, frames, dim = x.shape
        missing = -frames % self.factor
        if is_traced() or missing:
            x = torch.cat((x, x[:, -1:].expand(-1, missing, -1)), dim=1)
        groups = x.reshape(batch, -1, self.factor, dim)
        return (groups * self.bias.softmax(dim=0).unsqueeze(1)).sum(dim=2)


def upsample(x: Tensor, factor: int, num_frames: int) -> Tensor:
    """Repeat each frame of x (N, T, D) `factor` times and keep the first `num_frames`."""
    batch, frames, dim = x.shape
    return x.unsqueeze(2).expand(-1, -1, factor, -1).reshape(batch, frames * factor, dim)[:, :num_frames]
