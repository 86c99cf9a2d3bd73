"""What a layer of an encoder knows besides its frames.

Letters: N utterances or streams, T target frames, S source frames (T, and in a stream those of the left context before
them), L frames of left context, D dimension.
"""

import dataclasses
from typing import Optional, Tuple

from torch import Tensor

from icefall_discrete.nn.stream_state import Past
from icefall_discrete.nn.utterance_frames import UtteranceFrames


@dataclasses.dataclass
class LayerPast:
    """The past of one layer in a stream: keys and values (N, L, D), and what each of its convolutions reads."""

    keys: Past
    values: Past
    convolutions: Tuple[Past, ...]


@dataclasses.dataclass(frozen=True)
class Context:
    """All of it.

    frames: extents of the targets. hidden: bool, broadcast over (N, T, S), True where a target does not see a source.
    offsets: (S + T - 1, D), see RelativePositions; (0, D) where positions are absolute. past: in a stream.
    """

    frames: UtteranceFrames
    hidden: Optional[Tensor]
    offsets: Tensor
    past: Optional[LayerPast] = None

    def before(self, convolution: int) -> Optional[Past]:
        """What the layer's convolution number `convolution` has read before; None but in a stream."""
        return None if self.past is None else self.past.convolutions[convolution]
