"""Prediction of the units of masked frames, and its loss: HuBERT's cosine scores, or a linear layer.

Hsu et al. 2021, https://arxiv.org/abs/2106.07447: the score of a unit is the cosine of the projected state and the
unit's vector, divided by 0.1; the loss is the cross-entropy over masked frames only.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEMPERATURE = 0.1


class UnitScores(nn.Module):
    """States (M, D) -> scores (M, V) of V units."""

    def __init__(self, dim: int, num_units: int, prediction: str) -> None:
        """`prediction`: cosine or linear."""
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, dim if prediction == "cosine" else num_units)
        self.units = nn.Parameter(torch.empty(num_units, dim).normal_()) if prediction == "cosine" else None

    def forward(self, states: Tensor) -> Tensor:
        """Scores (M, V), to be given to a softmax."""
        x = self.project(self.norm(states))
        if self.units is None:
            return x
        return F.linear(F.normalize(x, dim=1), F.normalize(self.units, dim=1)) / TEMPERATURE


@dataclasses.dataclass(frozen=True)
class MaskedLoss:
    """mean: nats a masked frame, to be minimised. correct, count: masked frames predicted right, and all of them."""

    mean: Tensor
    correct: int
    count: int


def masked_loss(scores: UnitScores, states: Tensor, units: Tensor, masked: Tensor) -> MaskedLoss:
    """Cross-entropy of the units (N, T) of masked frames, given states (N, T, D); other frames play no part."""
    logits, targets = scores(states[masked]), units[masked]
    correct = int((logits.detach().argmax(dim=1) == targets).sum())
    return MaskedLoss(F.cross_entropy(logits, targets), correct, len(targets))
