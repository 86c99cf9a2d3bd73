"""The context or the features of wav2vec, continuous: what k-means on it could reach at best."""

import dataclasses

from icefall_discrete.tokenizers.frames.frame_encoders import EncoderTokenizer
from icefall_discrete.tokenizers.frames.wav2vec_v1 import Wav2VecEncoder, Wav2VecSettings


@dataclasses.dataclass(frozen=True)
class Wav2vecConfig(Wav2VecSettings):
    """The context or the features of wav2vec."""


class Wav2vecTokenizer(EncoderTokenizer):
    """Frames (T, D), T = (S - 465) // 160 + 1, 100 Hz."""

    Config = Wav2vecConfig
    Encoder = Wav2VecEncoder
