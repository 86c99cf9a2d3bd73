"""Mean and standard deviation over time, or the mean alone."""

import dataclasses

from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.heads.classifier import statistics_pooling
from icefall_discrete.nn.heads.classifiers.contract import ClassifierConfig, Embedder


@dataclasses.dataclass(frozen=True)
class StatisticsConfig(ClassifierConfig):
    """Statistics over time."""

    pooled_dropout: float = setting(0.1, "dropout of the statistics over time", minimum=0.0, maximum=1.0)
    with_deviation: bool = setting(True, "mean and standard deviation; false: the mean alone, as in DASB")

    def __post_init__(self) -> None:
        check_settings(self)

    def build(self, in_dim: int) -> "Statistics":
        """The module."""
        return Statistics(in_dim, self)


class Statistics(Embedder):
    """Statistics of the frames of each utterance; dropout on the way to the output layer.

    Args:
      in_dim: D.
    """

    def __init__(self, in_dim: int, config: StatisticsConfig) -> None:
        super().__init__()
        self.config = config
        self.out_dim = in_dim * (2 if config.with_deviation else 1)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """Map (N, T', D) with lens (N,) to (N, out_dim)."""
        return statistics_pooling(x, lens)[:, : self.out_dim]

    def refined(self, embeddings: Tensor) -> Tensor:
        """The same, in training with dropout."""
        return dropped(embeddings, self.config.pooled_dropout, self.training)
