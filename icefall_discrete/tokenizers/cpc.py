"""A layer of contrastive predictive coding, continuous: what k-means on it could reach at best."""

import dataclasses

from icefall_discrete.tokenizers.frames.cpc_encoder import CpcEncoder, CpcSettings
from icefall_discrete.tokenizers.frames.frame_encoders import EncoderTokenizer


@dataclasses.dataclass(frozen=True)
class CpcConfig(CpcSettings):
    """A layer of contrastive predictive coding."""


class CpcTokenizer(EncoderTokenizer):
    """Frames (T, D), about S / 160, 100 Hz."""

    Config = CpcConfig
    Encoder = CpcEncoder
