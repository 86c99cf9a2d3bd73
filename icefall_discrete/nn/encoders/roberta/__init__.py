"""RoBERTa's transformer (https://arxiv.org/abs/1907.11692), as Discrete BERT has it (https://arxiv.org/abs/1910.05453)."""

from icefall_discrete.nn.encoders.roberta.config import RobertaConfig
from icefall_discrete.nn.encoders.roberta.encoder import RobertaEncoder

__all__ = ["RobertaConfig", "RobertaEncoder"]
