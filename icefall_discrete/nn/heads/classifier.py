"""One class an utterance, from all of its encoder frames."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.lengths import padding_mask

# Below it a variance is rounding, and the gradient of its root would be huge.
_MIN_VARIANCE = 1e-5


def statistics_pooling(x: Tensor, lens: Tensor) -> Tensor:
    """Mean and standard deviation over time of the frames x (N, T, D) of each utterance, side by side (N, 2 D).

    Section 3.2 of https://www.danielpovey.com/files/2018_icassp_xvectors.pdf. Frames behind `lens` (N,) >= 1 take no
    part. Sums are in float32 whatever the number format.
    """
    x = x.float()
    mask = padding_mask(lens, x.shape[1])
    num = lens.clamp(min=1).to(x.dtype).unsqueeze(1)

    def mean_of(values: Tensor) -> Tensor:
        valid = values if mask is None else values.masked_fill(mask.unsqueeze(2), 0.0)
        return valid.sum(dim=1) / num

    mean = mean_of(x)
    variance = mean_of((x - mean.unsqueeze(1)).square())
    return torch.cat((mean, variance.clamp(min=_MIN_VARIANCE).sqrt()), dim=1)


class ClassifierHead(nn.Module):
    """Statistics of encoder frames (N, T', D), dropout, a linear map to unnormalised log-probs (N, C) of classes.

    Args:
      encoder_dim: D. num_classes: C. dropout: of the statistics, in training.
    """

    def __init__(self, encoder_dim: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.output = nn.Linear(2 * encoder_dim, num_classes)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """Map (N, T', D) with lens (N,) to (N, C)."""
        return self.output(F.dropout(statistics_pooling(x, lens), self.dropout, self.training))
