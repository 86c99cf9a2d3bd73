"""How long units last: the duration predictor of unit vocoders.

Polyak et al. 2021, https://arxiv.org/abs/2104.00355, with the predictor of FastSpeech 2,
https://arxiv.org/abs/2006.04558, as published unit vocoders have it: two convolutions, each with rectifier and layer
norm, then a line; it gives log(d + 1). Submodules have the published names.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.lengths import padding_mask


class DurationPredictor(nn.Module):
    """Maps vectors of units (N, U, C) with lens (N,) to log(d + 1) of their durations d in frames, (N, U).

    Args:
      in_dim: C. dim: inner width. kernel: of the convolutions, odd. dropout: behind each.
    """

    def __init__(self, in_dim: int, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = nn.Sequential(nn.Conv1d(in_dim, dim, kernel, padding=kernel // 2), nn.ReLU())
        self.ln1 = nn.LayerNorm(dim)
        self.conv2 = nn.Sequential(nn.Conv1d(dim, dim, kernel, padding=kernel // 2), nn.ReLU())
        self.ln2 = nn.LayerNorm(dim)
        self.proj = nn.Linear(dim, 1)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """See the class; padding reaches no unit."""
        padding = padding_mask(lens, x.shape[1])
        for conv, norm in ((self.conv1, self.ln1), (self.conv2, self.ln2)):
            x = x if padding is None else x.masked_fill(padding.unsqueeze(2), 0.0)
            x = F.dropout(norm(conv(x.transpose(1, 2)).transpose(1, 2)), self.dropout, self.training)
        return self.proj(x).squeeze(2)


def durations_of(log_durations: Tensor) -> Tensor:
    """Durations in frames, whole numbers of at least 1, of what DurationPredictor gives."""
    return (log_durations.exp() - 1).round().long().clamp(min=1)


def duration_loss(log_durations: Tensor, durations: Tensor, lens: Tensor) -> Tensor:
    """Mean square of the error of log(d + 1) over the units of a batch; arguments (N, U), (N, U) and (N,)."""
    valid = torch.arange(durations.shape[1], device=lens.device) < lens.unsqueeze(1)
    errors = (log_durations - (durations.to(log_durations.dtype) + 1).log()).square()
    return errors[valid].mean()
