"""From states of the context to what is heard some steps ahead, for each step by a part of its own.

linear: a matrix, as in van den Oord et al. 2018 (https://arxiv.org/abs/1807.03748, equation 3) and in wav2vec.
transformer: a layer that looks back, as Riviere et al. 2020 (https://arxiv.org/abs/2002.02848) have it in CPC_audio,
where it is the default. Letters: N utterances, T frames, H steps, E dimensions of states, D of what is
heard, C frames that are looked at, d dimensions of a head.
"""

import abc
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.registry import ListedKinds
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.attention.feed_forward import FeedForward
from icefall_discrete.nn.attention.multi_head import by_offset_to_by_source
from icefall_discrete.nn.dropout import Dropout


class PredictorConfig(abc.ABC):
    """Settings of what predicts: a frozen dataclass of this file."""

    @abc.abstractmethod
    def build(self, in_dim: int, out_dim: int, steps: int) -> nn.Module:
        """From states (N, T, E) to (N, T, H, D). Raises ValueError for dimensions that it cannot have."""


@dataclasses.dataclass(frozen=True)
class LinearConfig(PredictorConfig):
    """A matrix for each step."""

    def build(self, in_dim: int, out_dim: int, steps: int) -> "LinearPredictor":
        """See PredictorConfig."""
        return LinearPredictor(in_dim, out_dim, steps)


@dataclasses.dataclass(frozen=True)
class TransformerConfig(PredictorConfig):
    """A layer of a transformer for each step, which keeps the dimension; the defaults are CPC_audio's."""

    num_heads: int = setting(8, "attention heads, which share the dimension", minimum=1)
    feedforward_dim: int = setting(2048, "hidden dimension of the feed-forward module", minimum=1)
    dropout: float = setting(0.1, "dropout rate of attention weights and hidden values", minimum=0, maximum=0.99)
    context: int = setting(
        116, "frames that are looked at, the last one the frame itself; a window of CPC_audio has as many", minimum=1
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def build(self, in_dim: int, out_dim: int, steps: int) -> "TransformerPredictor":
        """See PredictorConfig."""
        if in_dim != out_dim:
            raise ValueError(
                f"the encoder has {in_dim} dimensions and the front end {out_dim}, but a transformer that predicts "
                "keeps the dimension; set them alike (hidden_dim of bilstm, channels of wav2vec), or take "
                "--predictor linear."
            )
        if in_dim % self.num_heads:
            raise ValueError(
                f"{self.num_heads} heads of the predictor cannot share {in_dim} dimensions; set "
                "--model.predictor.num-heads to a number that divides them."
            )
        return TransformerPredictor(self, in_dim, steps)


PREDICTORS = ListedKinds({"linear": LinearConfig, "transformer": TransformerConfig})


class LinearPredictor(nn.Linear):
    """A matrix for each step, without bias.

    Args:
      in_dim: E. out_dim: D. steps: H.
    """

    def __init__(self, in_dim: int, out_dim: int, steps: int) -> None:
        super().__init__(in_dim, steps * out_dim, bias=False)
        self.steps = steps

    def forward(self, states: Tensor) -> Tensor:
        """States (N, T, E) to (N, T, H, D)."""
        return super().forward(states).unflatten(2, (self.steps, -1))


class TransformerPredictor(nn.Module):
    """A layer for each step, all of the same states.

    Args:
      config: of each layer. dim: E = D. steps: H.
    """

    def __init__(self, config: TransformerConfig, dim: int, steps: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_BackwardLayer(config, dim) for _ in range(steps))

    def forward(self, states: Tensor) -> Tensor:
        """States (N, T, E) to (N, T, H, E); no frame hears of later ones, nor of those more than C - 1 before it."""
        return torch.stack([layer(states) for layer in self.layers], dim=2)


class _BackwardLayer(nn.Module):
    """Attention over frames before and a feed-forward module, each added to its input and then normalised."""

    def __init__(self, config: TransformerConfig, dim: int) -> None:
        super().__init__()
        self.attention = _BackwardAttention(config, dim)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, config.feedforward_dim, config.dropout, F.relu)
        self.feed_forward_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention_norm(x + self.attention(x))
        return self.feed_forward_norm(x + self.feed_forward(x))


class _BackwardAttention(nn.Module):
    """Attention to a frame and C - 1 before it: softmax(q (k + p) / sqrt(d)) v, p a vector that is learnt of each
    distance, the same for all heads, the greatest distance first."""

    def __init__(self, config: TransformerConfig, dim: int) -> None:
        super().__init__()
        self.num_heads, self.context = config.num_heads, config.context
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        head_dim = dim // config.num_heads
        bound = head_dim**-0.5
        self.distances = nn.Parameter(torch.empty(head_dim, config.context).uniform_(-bound, bound))
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[1]
        query, key, value = (self._by_head(one(x)) for one in (self.query, self.key, self.value))
        # Distances beyond C - 1, and those to later frames, have no vector: their places are hidden.
        places = F.pad(torch.matmul(query, self.distances), (size - self.context, size - 1))
        scores = torch.matmul(query, key.transpose(2, 3)) + by_offset_to_by_source(places)
        distance = torch.arange(size, device=x.device).unsqueeze(1) - torch.arange(size, device=x.device)
        hidden = (distance < 0) | (distance >= self.context)
        scores = (scores / math.sqrt(query.shape[3])).masked_fill(hidden, float("-inf"))
        seen = torch.matmul(self.dropout(scores.softmax(dim=3)), value)
        return self.out(seen.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, T, E) to (N, heads, T, d)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
