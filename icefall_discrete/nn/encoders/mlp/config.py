"""Settings of the encoder of layers over single frames; the defaults are DASB's."""

import dataclasses
from typing import Sequence

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.encoders.contract import EncoderConfig


@dataclasses.dataclass(frozen=True)
class MlpConfig(EncoderConfig):
    """Shape of the layers, each a linear map and a sigmoid."""

    in_dim: int = setting(1024, "dimension of the front end's vectors", minimum=1)
    hidden_dim: int = setting(2048, "dimension of each layer's output", minimum=1)
    num_layers: int = setting(1, "number of layers", minimum=1)
    stride = 1
    input_dropout = 0.0

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def out_dim(self) -> int:
        """That of the layers."""
        return self.hidden_dim

    @property
    def inner_dims(self) -> Sequence[int]:
        """Dimension of each layer."""
        return (self.hidden_dim,) * self.num_layers
