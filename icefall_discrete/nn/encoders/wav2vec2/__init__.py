"""The transformer of wav2vec 2.0 (https://arxiv.org/abs/2006.11477), HuBERT and XLSR, and with biases that of WavLM."""

from icefall_discrete.nn.encoders.wav2vec2.config import Wav2Vec2Config
from icefall_discrete.nn.encoders.wav2vec2.encoder import Wav2Vec2Encoder

__all__ = ["Wav2Vec2Config", "Wav2Vec2Encoder"]
