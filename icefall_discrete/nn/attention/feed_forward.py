"""The feed-forward module."""

from typing import Callable

from torch import Tensor, nn

from icefall_discrete.nn.dropout import Dropout
from icefall_discrete.nn.scaling import Scheduled


class FeedForward(nn.Module):
    """Linear, activation, dropout, linear.

    Args:
      dim: D. hidden_dim: between the two. dropout: of the hidden values. activation: such as torch.relu.
    """

    def __init__(self, dim: int, hidden_dim: int, dropout: Scheduled, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.w_1 = nn.Linear(dim, hidden_dim)
        self.w_2 = nn.Linear(hidden_dim, dim)
        self.dropout = Dropout(dropout)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, T, D) to (N, T, D)."""
        return self.w_2(self.dropout(self.activation(self.w_1(x))))
