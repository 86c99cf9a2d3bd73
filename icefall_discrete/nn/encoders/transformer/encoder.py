"""The Transformer encoder."""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn

from icefall_discrete.nn.attention.dropout import Dropout
from icefall_discrete.nn.attention.feed_forward import FeedForward
from icefall_discrete.nn.attention.layered_encoder import LayeredEncoder
from icefall_discrete.nn.attention.multi_head import MultiHeadAttention
from icefall_discrete.nn.attention.norms import layer_norm
from icefall_discrete.nn.attention.positions import AbsolutePositions
from icefall_discrete.nn.encoders.contract import EncoderOutput
from icefall_discrete.nn.encoders.transformer.config import TransformerConfig
from icefall_discrete.nn.utterance_frames import UtteranceFrames


class TransformerLayer(nn.Module):
    """Attention, then feed-forward with ReLU; each on normalised input."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, dropout = config.dim, config.scheduled_dropout
        self.norm1 = layer_norm(dim)
        self.self_attn = MultiHeadAttention(dim, config.num_heads, config.attention_dropout)
        self.norm2 = layer_norm(dim)
        self.feed_forward = FeedForward(dim, config.feedforward_dim, dropout, torch.relu)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, hidden: Optional[Tensor]) -> Tensor:
        """Map x (N, T, D) to (N, T, D); hidden (N, 1, T), True for sources that no target sees, or None."""
        normal = self.norm1(x)
        x = x + self.dropout(self.self_attn(normal, normal, hidden))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class Transformer(LayeredEncoder[TransformerLayer]):
    """Transformer, https://arxiv.org/abs/1706.03762, with absolute positions, as in ESPnet."""

    def __init__(self, config: TransformerConfig) -> None:
        layers = (TransformerLayer(config) for _ in range(config.num_layers))
        super().__init__(config, layers, normalised_inner=True)
        self.positions = AbsolutePositions(config.dim, config.positional_dropout)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode a padded batch x (N, T, dim) with lens (N,); `inner` are layers whose outputs are returned too."""
        hidden = UtteranceFrames(lens, x.shape[1]).hidden_sources
        return self._encoded(self.positions(x), lens, inner, lambda layer, frames: layer(frames, hidden))
