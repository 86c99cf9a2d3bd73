"""Small neural language models over labels: an LSTM and a transformer, for training in parallel and for search by step.

Label 1 (sos/eos) begins and ends a sentence.
"""

import dataclasses
from typing import Dict, List, Tuple, Type, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.module_row import ModuleRow

State = Tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True)
class NeuralLmConfig:
    """Shape of a neural language model."""

    lm_dim: int = setting(256, "dimension of embedding and layers", minimum=1)
    lm_layers: int = setting(2, "layers", minimum=1)
    lm_heads: int = setting(4, "attention heads (transformer)", minimum=1)
    lm_context: int = setting(
        64, "labels that a layer of the transformer looks back on, the last one included", minimum=1
    )
    lm_dropout: float = setting(0.2, "dropout on embedding and layers", minimum=0, maximum=1)

    def __post_init__(self) -> None:
        if self.lm_dim % self.lm_heads:
            raise ValueError(f"lm_dim is {self.lm_dim}, expected a multiple of lm_heads, {self.lm_heads}.")


class LstmLm(nn.Module):
    """An LSTM language model; the output layer shares the embedding's weights."""

    def __init__(self, config: NeuralLmConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocab_size, config.lm_dim)
        dropout = config.lm_dropout if config.lm_layers > 1 else 0.0
        self.lstm = nn.LSTM(config.lm_dim, config.lm_dim, config.lm_layers, batch_first=True, dropout=dropout)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.normal_(self.embedding.weight, std=config.lm_dim**-0.5)

    def forward(self, labels: Tensor) -> Tensor:
        """Logits (N, U, V) of what follows each of labels (N, U)."""
        return self.logits(self.lstm(self.embed(labels))[0])

    def embed(self, labels: Tensor) -> Tensor:
        """Vectors (..., D) of labels, with dropout."""
        return F.dropout(self.embedding(labels), self.config.lm_dropout, self.training)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (..., V) of the last layer's output (..., D)."""
        return F.linear(F.dropout(x, self.config.lm_dropout, self.training), self.embedding.weight, self.output_bias)

    def steps(self) -> "LstmSteps":
        """The model label by label."""
        return LstmSteps(self)


class LstmSteps:
    """An LSTM language model label by label; a state is what the layers carry, twice (M, layers, D)."""

    def __init__(self, model: LstmLm) -> None:
        self._model = model

    def start(self, num: int) -> State:
        """The states of `num` prefixes before anything was seen."""
        config = self._model.config
        zeros = self._model.output_bias.new_zeros(num, config.lm_layers, config.lm_dim)
        return zeros, zeros

    def advance(self, state: State, labels: Tensor) -> Tuple[State, Tensor]:
        """Append labels (M,); returns the states and log-probabilities (M, V) of what follows."""
        before = tuple(tensor.transpose(0, 1).contiguous() for tensor in state)
        out, after = self._model.lstm(self._model.embed(labels).unsqueeze(1), before)
        return tuple(x.transpose(0, 1) for x in after), self._model.logits(out.squeeze(1)).log_softmax(dim=1)


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each with layer norm before it and a residual around it.

    Attention falls off with the distance, linearly and by another slope in each head (ALiBi,
    https://arxiv.org/abs/2108.12409), so that no position is ever one that training has not seen.
    """

    slopes: Tensor

    def __init__(self, config: NeuralLmConfig) -> None:
        super().__init__()
        dim = config.lm_dim
        self.num_heads = config.lm_heads
        self.dropout = config.lm_dropout
        self.norm_attention, self.norm_feedforward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.expand, self.contract = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        slopes = 2.0 ** (-8.0 * torch.arange(1, config.lm_heads + 1) / config.lm_heads)
        self.register_buffer("slopes", slopes, persistent=False)

    def project(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (..., D) of x (..., D)."""
        return self.in_proj(self.norm_attention(x)).chunk(3, dim=-1)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, distance: Tensor) -> Tensor:
        """Attention output (N, Q, D).

        Args:
          query: (N, Q, D). key, value: (N, J, D). distance: (N or 1, Q, J) labels from key to query; negative: hidden.
        """
        num, dim = len(query), query.size(2)
        query, key, value = (x.view(num, -1, self.num_heads, dim // self.num_heads) for x in (query, key, value))
        scores = torch.einsum("nqhd,njhd->nhqj", query, key) * (dim // self.num_heads) ** -0.5
        scores = scores - self.slopes[:, None, None] * distance.unsqueeze(1)
        weights = scores.masked_fill(distance.unsqueeze(1) < 0, float("-inf")).softmax(dim=3)
        return self.out_proj(torch.einsum("nhqj,njhd->nqhd", weights, value).reshape(num, -1, dim))

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The layer's output from its input and the output of attention, both (..., D)."""
        x = x + F.dropout(attended, self.dropout, self.training)
        inner = self.contract(F.gelu(self.expand(self.norm_feedforward(x))))
        return x + F.dropout(inner, self.dropout, self.training)


class TransformerLm(nn.Module):
    """A transformer language model whose layers look back on `lm_context` labels each."""

    def __init__(self, config: NeuralLmConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocab_size, config.lm_dim)
        self.layers = ModuleRow(TransformerLayer(config) for _ in range(config.lm_layers))
        self.norm = nn.LayerNorm(config.lm_dim)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.normal_(self.embedding.weight, std=config.lm_dim**-0.5)

    def forward(self, labels: Tensor) -> Tensor:
        """Logits (N, U, V) of what follows each of labels (N, U)."""
        place = torch.arange(labels.size(1), device=labels.device)
        distance = place.unsqueeze(1) - place
        distance = distance.masked_fill(distance >= self.config.lm_context, -1).unsqueeze(0)
        x = self.embed(labels)
        for layer in self.layers:
            x = layer.finish(x, layer.attend(*layer.project(x), distance))
        return self.logits(x)

    def embed(self, labels: Tensor) -> Tensor:
        """Vectors (..., D) of labels, with dropout."""
        x = self.embedding(labels) * self.config.lm_dim**0.5
        return F.dropout(x, self.config.lm_dropout, self.training)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (..., V) of the last layer's output (..., D)."""
        return F.linear(self.norm(x), self.embedding.weight, self.output_bias)

    def steps(self) -> "TransformerSteps":
        """The model label by label."""
        return TransformerSteps(self)


class TransformerSteps:
    """A transformer language model label by label.

    Keys and values of every label that was ever appended are kept once, in rows; a prefix's state holds the rows of its
    last labels, (M, lm_context), and -1 before its beginning. So prefixes share what they have in common.
    """

    def __init__(self, model: TransformerLm) -> None:
        self._model = model
        self._num_rows = 0
        empty = model.output_bias.new_zeros(0, model.config.lm_dim)
        self._memory: List[Tuple[Tensor, Tensor]] = [(empty, empty) for _ in model.layers]

    def start(self, num: int) -> State:
        """The states of `num` prefixes before anything was seen."""
        shape = (num, self._model.config.lm_context)
        return (torch.full(shape, -1, dtype=torch.int64, device=self._model.output_bias.device),)

    def advance(self, state: State, labels: Tensor) -> Tuple[State, Tensor]:
        """Append labels (M,); returns the states and log-probabilities (M, V) of what follows."""
        new = torch.arange(self._num_rows, self._num_rows + len(labels), device=labels.device)
        self._num_rows += len(labels)
        rows = torch.cat([state[0][:, 1:], new.unsqueeze(1)], dim=1)
        distance = torch.arange(rows.size(1) - 1, -1, -1, device=rows.device).expand_as(rows)
        distance = distance.masked_fill(rows < 0, -1).unsqueeze(1)
        x = self._model.embed(labels)
        for index, layer in enumerate(self._model.layers):
            query, key, value = layer.project(x)
            keys, values = self._remember(index, key, value)
            seen = rows.clamp(min=0)
            x = layer.finish(x, layer.attend(query.unsqueeze(1), keys[seen], values[seen], distance).squeeze(1))
        return (rows,), self._model.logits(x).log_softmax(dim=1)

    def _remember(self, index: int, key: Tensor, value: Tensor) -> Tuple[Tensor, Tensor]:
        """Write the newest rows of a layer, growing its memory by doubling; returns all keys and values."""
        keys, values = self._memory[index]
        if len(keys) < self._num_rows:
            size = max(2 * self._num_rows, 256)
            keys, values = (torch.cat([x, x.new_zeros(size - len(x), x.size(1))]) for x in (keys, values))
            self._memory[index] = (keys, values)
        keys[self._num_rows - len(key) : self._num_rows] = key
        values[self._num_rows - len(value) : self._num_rows] = value
        return keys, values


NeuralLm = Union[LstmLm, TransformerLm]
MODELS: Dict[str, Type[NeuralLm]] = {"lstm": LstmLm, "transformer": TransformerLm}
