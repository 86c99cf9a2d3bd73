"""A layer of a self-supervised transformer, continuous: what k-means on it could reach at best."""

import dataclasses

from icefall_discrete.tokenizers.frames.frame_encoders import EncoderTokenizer
from icefall_discrete.tokenizers.frames.ssl_encoder import SslEncoder, SslSettings


@dataclasses.dataclass(frozen=True)
class SslConfig(SslSettings):
    """A layer of a self-supervised transformer."""


class SslTokenizer(EncoderTokenizer):
    """Frames (T, D), T = (S - 400) // 320 + 1, 50 Hz."""

    Config = SslConfig
    Encoder = SslEncoder
