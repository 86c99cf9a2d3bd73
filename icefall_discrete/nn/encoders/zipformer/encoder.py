"""The Zipformer encoder: stacks in turn, their widest dimensions together, and downsampling at the output."""

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.nn.encoders.contract import Encoder, EncoderOutput
from icefall_discrete.nn.encoders.zipformer.config import ZipformerConfig
from icefall_discrete.nn.encoders.zipformer.masks import draw_feature_masks, stack_masks
from icefall_discrete.nn.encoders.zipformer.resample import Downsample
from icefall_discrete.nn.encoders.zipformer.stack import ZipformerStack
from icefall_discrete.nn.lengths import padding_mask
from icefall_discrete.nn.module_row import ModuleRow


def with_dim(x: Tensor, dim: int) -> Tensor:
    """Cut x (N, T, D) to `dim` channels, or add zeros."""
    present = x.shape[2]
    return x if present == dim else x[..., :dim].contiguous() if present > dim else F.pad(x, (0, dim - present))


class Zipformer(Encoder):
    """Zipformer, https://arxiv.org/abs/2310.11230, section 3.1 and Figure 1, as in icefall's `zipformer` recipe.

    With `causal`, each batch draws a chunk size and a left context, so that one model serves offline and streaming.
    """

    def __init__(self, config: ZipformerConfig) -> None:
        super().__init__()
        self.config = config
        # The front end learns alone for the first share of the warm-up, then each stack in turn.
        share = config.warmup_batches / (config.num_stacks + 1)
        self.stacks = ModuleRow(
            ZipformerStack(config.stack(index), share * (index + 1), share * (index + 2))
            for index in range(config.num_stacks)
        )
        factor = config.output_downsampling_factor
        self.output_downsample = Downsample(factor) if factor > 1 else None

    def forward(self, x: Tensor, lens: Tensor, inner: Sequence[int] = ()) -> EncoderOutput:
        """Encode a padded batch x (N, T, in_dim) with lens (N,).

        `inner` are indices of stacks whose outputs (N, T, D_stack) are returned too; their lengths are `lens`.
        """
        config = self.config
        dims = config.stack_values("encoder_dim")
        if x.shape[2] != dims[0]:
            raise ValueError(f"encoder input has {x.shape[2]} dimensions, but the first stack has {dims[0]}.")
        num_frames = x.shape[1]
        masks = stack_masks(config, padding_mask(lens, num_frames), num_frames, x.device, self.training)
        feature_masks = draw_feature_masks(config, x) if self.training else [None] * config.num_stacks
        outputs = []
        for index, stack in enumerate(self.stacks):
            x = stack(with_dim(x, dims[index]), masks[index], feature_masks[index], lens=lens)
            outputs.append(x)
        x = self.widest(outputs)
        if self.output_downsample is not None:
            x = self.output_downsample(x, lens)
        return EncoderOutput(x, config.frames_out(lens), [(outputs[index], lens) for index in inner])

    @staticmethod
    def widest(outputs: Sequence[Tensor]) -> Tensor:
        """Put together the dimensions of all stacks, each from the last stack that has it."""
        pieces = [outputs[-1]]
        present = outputs[-1].shape[2]
        for output in reversed(outputs[:-1]):
            if output.shape[2] > present:
                pieces.append(output[..., present:])
                present = output.shape[2]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
