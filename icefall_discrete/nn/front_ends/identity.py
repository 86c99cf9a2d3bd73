"""No front end: the encoder reads the vectors of codes themselves, as DASB's (https://arxiv.org/abs/2406.14294) do."""

import dataclasses
from typing import Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.nn.dropout import dropped
from icefall_discrete.nn.front_ends.contract import FrontEnd, FrontEndConfig, StreamWindow
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.scaling import Scheduled
from icefall_discrete.nn.stream_state import Past


@dataclasses.dataclass(frozen=True)
class IdentityFrontEndConfig(FrontEndConfig):
    """Front end identity: none."""

    stride = 1

    def frames_out(self, num_frames: Lens) -> Lens:
        """T."""
        return num_frames

    def build(self, in_dim: int, out_dim: int, dropout: Scheduled) -> "IdentityFrontEnd":
        """The module. Raises ValueError if the encoder takes vectors of another dimension."""
        if in_dim != out_dim:
            raise ValueError(
                f"front end identity changes no dimension, but the vectors of the input have {in_dim} dimensions and "
                f"the encoder takes {out_dim}; set embedding_dim to {out_dim}, or the encoder's in_dim to {in_dim}."
            )
        return IdentityFrontEnd(dropout)


class IdentityFrontEnd(FrontEnd):
    """Dropout of the vectors, and nothing else."""

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Return x (N, T, D), in training with dropout, and lens (N,)."""
        return dropped(x, float(self.dropout), self.training), lens

    @property
    def window(self) -> StreamWindow:
        """A frame for each."""
        return StreamWindow(stride=1, kernel=1, lead=0, reach=0)

    def initial_past(self, num: int) -> Past:
        """Nothing is remembered."""
        return Past(torch.zeros(num, 0, 0))

    def stream(self, x: Tensor, num_frames: Optional[Tensor], past: Past) -> Tensor:
        """Return x (N, T, D)."""
        return x
