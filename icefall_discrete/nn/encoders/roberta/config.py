"""Settings of RoBERTa's transformer."""

import dataclasses

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.encoders.contract import EqualLayersConfig
from icefall_discrete.nn.encoders.wav2vec2.config import Wav2Vec2Config


@dataclasses.dataclass(frozen=True)
class RobertaConfig(EqualLayersConfig):
    """Shape and dropout; the defaults are those of the base model."""

    dim: int = setting(768, "dimension of the frames", minimum=1)
    num_layers: int = setting(12, "number of layers", minimum=1)
    num_heads: int = setting(12, "number of attention heads, which share the dimension", minimum=1)
    feedforward_dim: int = setting(3072, "hidden dimension of the feed-forward modules", minimum=1)
    max_positions: int = setting(
        2048, "places that have a vector, those of marks included; longer utterances go piece by piece", minimum=3
    )
    marks: bool = setting(True, "begin and end each piece with a mark, as RoBERTa's training does")
    dropout: float = setting(0.1, "dropout rate", minimum=0, maximum=0.99)
    attention_dropout: float = setting(0.1, "dropout rate of the attention weights", minimum=0, maximum=0.99)
    activation_dropout: float = setting(0.0, "dropout rate within feed-forward modules", minimum=0, maximum=0.99)
    input_dropout: float = setting(0.0, "dropout rate of the vectors of the front end", minimum=0, maximum=0.99)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.dim % self.num_heads:
            raise ValueError(f"num_heads is {self.num_heads}, which does not divide dim, {self.dim}.")

    @property
    def piece(self) -> int:
        """Most frames that are encoded together."""
        return self.max_positions - 2 * self.marks

    @property
    def of_layers(self) -> Wav2Vec2Config:
        """The settings of its layers, which are those of wav2vec 2.0's base model."""
        return Wav2Vec2Config(
            dim=self.dim,
            num_heads=self.num_heads,
            feedforward_dim=self.feedforward_dim,
            position_groups=1,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            activation_dropout=self.activation_dropout,
        )
