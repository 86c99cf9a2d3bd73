"""No encoder."""

from typing import Sequence

from torch import Tensor

from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.encoders.identity.config import IdentityConfig


class IdentityEncoder(Encoder):
    """Gives what it takes."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Return x (N, T, in_dim) and lens (N,); there is no inner place."""
        return EncoderOutput(x, lens, [])
