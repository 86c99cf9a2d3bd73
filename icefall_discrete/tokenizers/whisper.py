"""Encoder states of a pretrained Whisper, continuous: what k-means on them could reach at best."""

import dataclasses

from icefall_discrete.tokenizers.frames.frame_encoders import EncoderTokenizer
from icefall_discrete.tokenizers.frames.whisper_encoder import WhisperEncoder, WhisperSettings


@dataclasses.dataclass(frozen=True)
class WhisperConfig(WhisperSettings):
    """Whisper encoder states."""


class WhisperTokenizer(EncoderTokenizer):
    """States (T, D), T = ceil(S / 320), 50 Hz."""

    Config = WhisperConfig
    Encoder = WhisperEncoder
    runtime_settings = ("num_threads",)
