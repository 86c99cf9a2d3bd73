"""Front end of ESPnet's recipes for discrete units: two convolutions over time that see whole frames only."""

import dataclasses
from typing import Optional, Tuple

from torch import Tensor, nn

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.front_ends.contract import FrontEnd, FrontEndConfig, StreamWindow
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.scaling import Scheduled
from icefall_discrete.nn.stream_state import Past

_FIRST_KERNEL = 3
# Frames that the second convolution sees, by stride.
_KERNELS = {1: 3, 2: 3, 3: 5}


@dataclasses.dataclass(frozen=True)
class EspnetConv1dConfig(FrontEndConfig):
    """Front end espnet_conv1d: conv1d1, conv1d2 and conv1d3 of ESPnet, by stride."""

    stride: int = setting(
        2, "input frames that the front end makes one of", choices=tuple(_KERNELS), formerly="front_end_stride"
    )

    @property
    def kernel(self) -> int:
        """Input frames of one output frame."""
        return _FIRST_KERNEL + _KERNELS[self.stride] - 1

    def frames_out(self, num_frames: Lens) -> Lens:
        """T - 4, (T - 3) // 2 or (T - 4) // 3, by stride."""
        return (num_frames - self.kernel) // self.stride + 1

    def build(self, in_dim: int, out_dim: int, dropout: Scheduled) -> "EspnetConv1d":
        """The module."""
        return EspnetConv1d(in_dim, out_dim, self, dropout)


class EspnetConv1d(FrontEnd):
    """Convolution, ReLU, strided convolution, ReLU, linear; nothing is padded, so no frame sees beyond an utterance.

    Args:
      in_dim: dimension of the input vectors. out_dim: of the encoder's. config: the stride.
      dropout: rate, a number or a schedule.
    """

    def __init__(self, in_dim: int, out_dim: int, config: EspnetConv1dConfig, dropout: Scheduled = 0.0) -> None:
        super().__init__(dropout)
        self.config = config
        self.conv1 = nn.Conv1d(in_dim, out_dim, _FIRST_KERNEL)
        self.conv2 = nn.Conv1d(out_dim, out_dim, _KERNELS[config.stride], config.stride)
        self.out = nn.Linear(out_dim, out_dim)
        self.out_whiten = nn.Identity()
        self.out_norm = nn.Identity()

    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, in_dim) with lens (N,) to (N, T', out_dim) and its lengths (N,), 0 of those that are too short.

        Raises:
          ValueError: if all utterances are.
        """
        kernel = self.config.kernel
        if x.shape[1] < kernel:
            raise ValueError(
                f"the longest utterance has {x.shape[1]} frames, but front end espnet_conv1d with stride "
                f"{self.config.stride} needs {kernel}; drop shorter ones with the duration filter or use "
                "front_end conv1d."
            )
        return self._convolved(x), self.config.frames_out(lens).clamp(min=0)

    def _convolved(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x.transpose(1, 2)).relu()).relu()
        return self._finished(self.out(x.transpose(1, 2)))

    @property
    def window(self) -> StreamWindow:
        """The input frames that streaming needs for a chunk."""
        return StreamWindow(self.config.stride, self.config.kernel, lead=0, reach=0)

    def initial_past(self, num: int) -> Past:
        """Nothing is remembered: windows hold all that is seen."""
        return Past(self.out.weight.new_zeros((num, 0, self.out.in_features)))

    def stream(self, x: Tensor, num_frames: Optional[Tensor], past: Past) -> Tensor:
        """Map a window x (N, window.num_frames(T), in_dim) to its T output frames (N, T, out_dim)."""
        return self._convolved(x)
