"""The feed-forward module."""

from torch import Tensor, nn

from icefall_discrete.nn.scaling import Balancer, Scheduled, SwooshLinear, Whiten
from icefall_discrete.nn.scaling.whiten import whitening_limit


class FeedForward(nn.Module):
    """Linear, SwooshL, dropout shared over time, linear."""

    def __init__(self, dim: int, hidden_dim: int, dropout: Scheduled) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dim, hidden_dim)
        self.balancer = Balancer(positive=(0.3, 1.0), abs_value=(0.75, 5.0))
        self.out_proj = SwooshLinear(hidden_dim, dim, "l", scale=0.1, dropout=dropout)
        self.whiten = Whiten(whitening_limit(7.5))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, T, D) to (N, T, D)."""
        return self.whiten(self.out_proj(self.balancer(self.in_proj(x))))
