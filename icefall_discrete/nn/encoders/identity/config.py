"""Settings where there is no encoder."""

import dataclasses
from typing import Sequence

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.nn.encoders.contract import EncoderConfig


@dataclasses.dataclass(frozen=True)
class IdentityConfig(EncoderConfig):
    """The front end's vectors as they are."""

    in_dim: int = setting(1024, "dimension of the front end's vectors", minimum=1)
    stride = 1
    input_dropout = 0.0

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def out_dim(self) -> int:
        """That of the input."""
        return self.in_dim

    @property
    def inner_dims(self) -> Sequence[int]:
        """There is no inner place."""
        return ()
