"""The Zipformer encoder, https://arxiv.org/abs/2310.11230: stacks of layers at different frame rates."""

from icefall_discrete.nn.encoders.zipformer.config import ZipformerConfig
from icefall_discrete.nn.encoders.zipformer.encoder import Zipformer

__all__ = ["Zipformer", "ZipformerConfig"]
