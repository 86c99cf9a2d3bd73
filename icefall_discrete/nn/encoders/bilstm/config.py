"""Settings of the LSTM encoder; the defaults are DASB's."""

import dataclasses
from typing import Sequence

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.encoders.contract import EncoderConfig


@dataclasses.dataclass(frozen=True)
class BilstmConfig(EncoderConfig):
    """Shape of the LSTM encoder."""

    in_dim: int = setting(1024, "dimension of the front end's vectors", minimum=1)
    hidden_dim: int = setting(1024, "cells of a layer and direction", minimum=1)
    num_layers: int = setting(2, "number of layers", minimum=1)
    cell: str = setting("lstm", "what layers are made of; GRU is that of the first CPC", choices=("lstm", "gru"))
    bidirectional: bool = setting(True, "read in both directions; only an encoder of one direction can stream")
    layer_dropout: float = setting(0.2, "dropout between layers", minimum=0.0, maximum=1.0)
    stride = 1
    input_dropout = 0.0

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def out_dim(self) -> int:
        """That of the directions together."""
        return self.hidden_dim * (2 if self.bidirectional else 1)

    @property
    def inner_dims(self) -> Sequence[int]:
        """Dimension of each layer."""
        return (self.out_dim,) * self.num_layers
