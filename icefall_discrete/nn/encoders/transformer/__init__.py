"""The Transformer encoder, https://arxiv.org/abs/1706.03762, with normalisation before each module."""

from icefall_discrete.nn.encoders.transformer.config import TransformerConfig
from icefall_discrete.nn.encoders.transformer.encoder import Transformer

__all__ = ["Transformer", "TransformerConfig"]
