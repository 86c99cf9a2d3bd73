"""The CTC head."""

import torch.nn.functional as F
from torch import Tensor, nn

CTC_DROPOUT = 0.1


class CtcHead(nn.Linear):
    """Dropout, then unnormalised log-probs (N, T', V) of labels from encoder frames (N, T', D)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T', D) to (N, T', V)."""
        return super().forward(F.dropout(x, CTC_DROPOUT, self.training))
