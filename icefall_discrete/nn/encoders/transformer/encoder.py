"""The Transformer encoder."""

from typing import Sequence

import torch
from torch import Tensor

from icefall_discrete.nn.adaptation import AdapterPlace
from icefall_discrete.nn.attention.context import Context
from icefall_discrete.nn.attention.feed_forward import FeedForward
from icefall_discrete.nn.attention.layered_encoder import EncoderLayer, LayeredEncoder
from icefall_discrete.nn.attention.multi_head import MultiHeadAttention
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.attention.positions import AbsolutePositions
from icefall_discrete.nn.depthwise import FrameDepthwise
from icefall_discrete.nn.dropout import Dropout
from icefall_discrete.nn.encoders.transformer.config import TransformerConfig


class TransformerLayer(EncoderLayer):
    """Attention, then feed-forward with ReLU; each on normalised input."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, dropout = config.dim, config.scheduled_dropout
        self.norm1 = layer_norm(dim)
        self.self_attn = MultiHeadAttention(dim, config.num_heads, config.attention_dropout)
        self.norm2 = layer_norm(dim)
        self.feed_forward = FeedForward(dim, config.feedforward_dim, dropout, torch.relu)
        self.dropout = Dropout(dropout)
        self.adapter_middle, self.adapter_out = AdapterPlace(config.dim), AdapterPlace(config.dim)

    @property
    def convolutions(self) -> Sequence[FrameDepthwise]:
        """None."""
        return ()

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Map x (N, T, D) to (N, T, D)."""
        x = self.adapter_middle(x + self.dropout(self._attended(self.norm1(x), context)))
        return self.adapter_out(x + self.dropout(self.feed_forward(self.norm2(x))))

    def _attended(self, x: Tensor, context: Context) -> Tensor:
        past = context.past
        if past is None:
            return self.self_attn(x, x, context.hidden)
        keys, values = self.self_attn.keys_and_values(x)
        return self.self_attn.look(x, past.keys.extend(keys), past.values.extend(values), context.hidden)


class Transformer(LayeredEncoder[TransformerLayer]):
    """Transformer, https://arxiv.org/abs/1706.03762, with absolute positions, as in ESPnet."""

    def __init__(self, config: TransformerConfig) -> None:
        layers = (TransformerLayer(config) for _ in range(config.num_layers))
        positions = AbsolutePositions(config.dim, config.positional_dropout)
        super().__init__(config, layers, positions, normalised_inner=True)
