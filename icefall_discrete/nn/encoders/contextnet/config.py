"""Settings of the ContextNet encoder; the defaults are DASB's, which keeps the rate of its tokens."""

import dataclasses
import math
from typing import Sequence, Tuple

from icefall_discrete.base.settings import check_settings, require_odd, setting
from icefall_discrete.nn.encoders.contract import EncoderConfig


@dataclasses.dataclass(frozen=True)
class ContextNetConfig(EncoderConfig):
    """Shape of the ContextNet encoder."""

    in_dim: int = setting(1024, "dimension of the front end's vectors", minimum=1)
    block_channels: Tuple[int, ...] = setting((256,) * 10 + (512,) * 11, "channels of each block", minimum=1)
    alpha: float = setting(1.0, "times as many channels in each block (the paper's sizes: 0.5, 1, 2)", above=0)
    strides: Tuple[int, ...] = setting(
        (1,), "stride of each block, or one number for all; the paper's: 2 for blocks 3, 7 and 14", minimum=1
    )
    kernel_size: int = setting(3, "frames that a convolution sees, odd (the paper's: 5)", minimum=1)
    num_convolutions: int = setting(5, "convolutions of a block", minimum=1)
    squeezed_dim: int = setting(12, "dimension between the layers of squeeze and excitation", minimum=1)
    block_dropout: float = setting(0.15, "dropout at the end of a block", minimum=0.0, maximum=1.0)
    out_dim: int = setting(640, "dimension of the output", minimum=1)
    input_dropout = 0.0

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.strides) not in (1, len(self.block_channels)):
            raise ValueError(
                f"strides has {len(self.strides)} values {self.strides}, but block_channels has "
                f"{len(self.block_channels)}; give one for each block, or a single one."
            )
        require_odd(self, "kernel_size")

    @property
    def block_strides(self) -> Tuple[int, ...]:
        """The stride of each block."""
        return self.strides * len(self.block_channels) if len(self.strides) == 1 else self.strides

    @property
    def stride(self) -> int:
        """That of all blocks together."""
        return math.prod(self.block_strides)

    @property
    def inner_dims(self) -> Sequence[int]:
        """Channels of each block."""
        return tuple(int(channels * self.alpha) for channels in self.block_channels)
