"""k-means on the encoder states of a pretrained Whisper: tokens that know speech, without labels of the corpus."""

import dataclasses

from icefall_discrete.tokenizers.frames.frame_encoders import EncoderKmeansTokenizer
from icefall_discrete.tokenizers.frames.whisper_encoder import WhisperEncoder, WhisperSettings
from icefall_discrete.tokenizers.quantizers.kmeans import KmeansConfig


@dataclasses.dataclass(frozen=True)
class WhisperKmeansConfig(WhisperSettings, KmeansConfig):
    """k-means on Whisper encoder states."""


class WhisperKmeansTokenizer(EncoderKmeansTokenizer):
    """One code a state, T = ceil(S / 320), 50 Hz."""

    Config = WhisperKmeansConfig
    Encoder = WhisperEncoder
    runtime_settings = ("num_threads",)
