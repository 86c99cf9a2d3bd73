"""The ContextNet encoder."""

from typing import List, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.nn.encoders.contextnet.block import ContextNetBlock, NormedConv
from icefall_discrete.nn.encoders.contextnet.config import ContextNetConfig
from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.utterance_frames import UtteranceFrames


class ContextNet(Encoder):
    """A convolution, blocks, and a convolution, each with batch normalisation and Swish.

    SpeechBrain's differs from the paper, and this one with it: no activation between the convolutions of a block, every
    block has a residual connection, squeeze and excitation end in sigmoids with a layer between them of fixed size.
    Unlike there, means over time and batch statistics leave padding out, and convolutions do not see it.
    """

    def __init__(self, config: ContextNetConfig) -> None:
        super().__init__()
        self.config = config
        channels = [config.block_channels[0], *config.inner_dims]
        self.first = NormedConv(config.in_dim, channels[0], config.kernel_size)
        self.blocks = ModuleRow(
            ContextNetBlock(
                before,
                after,
                config.kernel_size,
                config.num_convolutions,
                stride,
                config.squeezed_dim,
                config.block_dropout,
            )
            for before, after, stride in zip(channels, channels[1:], config.block_strides)
        )
        self.last = NormedConv(channels[-1], config.out_dim, config.kernel_size)

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode x (N, T, in_dim) with lens (N,); `inner` are numbers of blocks."""
        frames = UtteranceFrames(lens, x.shape[1])
        x = F.silu(self.first(x, frames, frames))
        outputs: List[Tuple[Tensor, Tensor]] = []
        for block in self.blocks:
            after = frames.downsampled(block.stride)
            x, frames = block(x, frames, after), after
            outputs.append((x, frames.lens))
        x = F.silu(self.last(x, frames, frames))
        return EncoderOutput(x, self.config.frames_out(lens), [outputs[index] for index in inner])
