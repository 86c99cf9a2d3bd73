"""A stack of layers at one frame rate."""

from typing import Optional, Sequence

from torch import Tensor, nn

from icefall_discrete.nn.encoders.zipformer.config import StackConfig
from icefall_discrete.nn.encoders.zipformer.layer import ZipformerLayer
from icefall_discrete.nn.encoders.zipformer.masks import StackMasks
from icefall_discrete.nn.encoders.zipformer.positions import RelativePositions
from icefall_discrete.nn.encoders.zipformer.resample import Downsample, upsample
from icefall_discrete.nn.encoders.zipformer.state import LayerState
from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.nn.scaling import Bypass, Schedule

FIRST_SKIP_RATE, LAST_SKIP_RATE = 0.5, 0.035


class ZipformerStack(nn.Module):
    """Layers at `downsampling_factor` of the input rate; their output is upsampled and mixed with the input.

    Args:
      config: settings of the stack.
      warmup_begin, warmup_end: batches between which its layers, one after the other, stop being skipped.
    """

    def __init__(self, config: StackConfig, warmup_begin: float, warmup_end: float) -> None:
        super().__init__()
        self.factor = config.downsampling_factor
        self.positions = RelativePositions(config.pos_dim)
        last_rate = LAST_SKIP_RATE * self.factor**0.5
        step = (warmup_end - warmup_begin) / config.num_encoder_layers
        begins = [warmup_begin + step * index for index in range(config.num_encoder_layers)]
        rates = [Schedule((begin, FIRST_SKIP_RATE), (begin + step, last_rate)) for begin in begins]
        self.layers = ModuleRow(ZipformerLayer(config, rate) for rate in rates)
        self.downsample = Downsample(self.factor) if self.factor > 1 else None
        self.bypass = Bypass(config.encoder_dim) if self.factor > 1 else None

    def forward(
        self,
        x: Tensor,
        masks: StackMasks,
        feature_mask: Optional[Tensor],
        states: Optional[Sequence[LayerState]] = None,
        lens: Optional[Tensor] = None,
    ) -> Tensor:
        """Map x (N, T, D), lens (N,), to (N, T, D); masks are at the stack's own rate, feature_mask (N, 1, D) or None.

        In streaming x is a chunk of whole groups of frames, and `states` is the past of each layer; there are no lens.
        """
        origin = x
        if self.downsample is not None:
            x = self.downsample(x, lens)
        if states is None:
            positions, states = self.positions(x), [LayerState()] * len(self.layers)
        else:
            positions = self.positions(x, left_context=states[0].left_context)
        if feature_mask is not None:
            x = x * feature_mask
        for layer, state in zip(self.layers, states):
            x = layer(x, positions, masks, state)
            if feature_mask is not None:
                x = x * feature_mask
        if self.bypass is None:
            return x
        return self.bypass(origin, upsample(x, self.factor, origin.shape[1]))
