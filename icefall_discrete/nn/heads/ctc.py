"""The CTC head."""

from torch import Tensor, nn

from icefall_discrete.nn.dropout import dropped

CTC_DROPOUT = 0.1


class CtcHead(nn.Linear):
    """Dropout, then unnormalised log-probs (N, T', V) of labels from encoder frames (N, T', D)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T', D) to (N, T', V)."""
        return super().forward(dropped(x, CTC_DROPOUT, self.training))
