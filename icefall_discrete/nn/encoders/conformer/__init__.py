"""The Conformer encoder, https://arxiv.org/abs/2005.08100: attention, then a convolution module."""

from icefall_discrete.nn.encoders.conformer.config import ConformerConfig
from icefall_discrete.nn.encoders.conformer.encoder import Conformer

__all__ = ["Conformer", "ConformerConfig"]
