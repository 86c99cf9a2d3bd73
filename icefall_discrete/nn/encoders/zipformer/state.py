"""What a stream remembers of the encoder between chunks.

Letters: N streams, L frames of left context, H heads, D channels, d a head's dimension.
"""

import dataclasses
from typing import Optional, Tuple

from torch import Tensor

from icefall_discrete.nn.stream_state import Past


@dataclasses.dataclass
class LayerState:
    """The past of one Zipformer layer at its own frame rate; None stands for a batch of whole utterances.

    keys: (N, L, H d) of the attention. values1, values2: (N, L, H d) of its two uses. gated_values: (N, L, D') of the
    non-linear attention. conv1, conv2: (N, kernel // 2, D), inputs of the depthwise convolutions.
    """

    keys: Optional[Past] = None
    gated_values: Optional[Past] = None
    values1: Optional[Past] = None
    values2: Optional[Past] = None
    conv1: Optional[Past] = None
    conv2: Optional[Past] = None

    @property
    def left_context(self) -> int:
        """L; 0 without a past."""
        return 0 if self.keys is None else self.keys.frames.shape[1]


@dataclasses.dataclass
class EncoderState:
    """The past of the encoder: each layer's by stack, and `processed` (N,) int64, on the CPU: frames so far."""

    stacks: Tuple[Tuple[LayerState, ...], ...]
    processed: Tensor
