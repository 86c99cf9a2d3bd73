"""What every front end offers, and its settings: the kind by its file's name."""

import abc
import dataclasses
from typing import ClassVar, Optional, Tuple

from torch import Tensor, nn

from icefall_discrete.base import registry
from icefall_discrete.nn.lengths import Lens
from icefall_discrete.nn.scaling import Scheduled
from icefall_discrete.nn.scaling.swoosh import dropout_mask
from icefall_discrete.nn.stream_state import Past


@dataclasses.dataclass(frozen=True)
class StreamWindow:
    """Input frames that a front end needs for some output frames: output t comes from `kernel` frames at t x stride,
    the first of them `lead` frames earlier, and from its neighbours up to `reach` away (those before it are
    remembered)."""

    stride: int
    kernel: int
    lead: int
    reach: int

    def num_frames(self, num_outputs: int) -> int:
        """Input frames for `num_outputs` output frames and the `reach` after them."""
        return (num_outputs + self.reach - 1) * self.stride + self.kernel


class FrontEnd(nn.Module, abc.ABC):
    """Maps input vectors to those of an encoder; at its end whitening, normalisation and dropout.

    Args:
      dropout: rate, a number or a schedule.
    """

    out_whiten: nn.Module
    out_norm: nn.Module

    def __init__(self, dropout: Scheduled) -> None:
        super().__init__()
        self.dropout = dropout

    @abc.abstractmethod
    def forward(self, x: Tensor, lens: Tensor) -> Tuple[Tensor, Tensor]:
        """Map x (N, T, in_dim) with lens (N,) to (N, T', out_dim) and its lengths (N,)."""

    @property
    @abc.abstractmethod
    def window(self) -> StreamWindow:
        """The input frames that streaming needs for a chunk."""

    @abc.abstractmethod
    def initial_past(self, num: int) -> Past:
        """The past of `num` streams before their first chunk."""

    @abc.abstractmethod
    def stream(self, x: Tensor, num_frames: Optional[Tensor], past: Past) -> Tensor:
        """Map a window x (N, window.num_frames(T), in_dim) to its T output frames (N, T, out_dim).

        num_frames (N,), on the CPU, counts those before the end of a stream, None where none ends; in evaluation mode
        only.
        """

    def _finished(self, x: Tensor) -> Tensor:
        """Whitening, normalisation and dropout of x (N, T', out_dim)."""
        x = self.out_norm(self.out_whiten(x))
        rate = float(self.dropout) if self.training else 0.0
        return x * dropout_mask(x, rate).to(x.dtype) if rate > 0.0 else x


class WholeFrontEnd(FrontEnd):
    """One that reads whole utterances."""

    def _no_stream(self) -> ValueError:
        kind = type(self).__module__.rpartition(".")[2]
        return ValueError(f"front end {kind} reads whole utterances; it cannot stream.")

    @property
    def window(self) -> StreamWindow:
        """None. Raises ValueError."""
        raise self._no_stream()

    def initial_past(self, num: int) -> Past:
        """None. Raises ValueError."""
        raise self._no_stream()

    def stream(self, x: Tensor, num_frames: Optional[Tensor], past: Past) -> Tensor:
        """Nothing. Raises ValueError."""
        raise self._no_stream()


class FrontEndConfig(abc.ABC):
    """Settings of a front end, a frozen dataclass in a file of its own, whose name is the kind."""

    # Whether it reads features as they are, without the training data's mean and deviation taken off.
    reads_samples: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def stride(self) -> int:
        """Input frames for one output frame."""

    @abc.abstractmethod
    def frames_out(self, num_frames: Lens) -> Lens:
        """Output frames T' of T input frames; may be below 0 for very few."""

    @abc.abstractmethod
    def build(self, in_dim: int, out_dim: int, dropout: Scheduled) -> FrontEnd:
        """The module from vectors of `in_dim` to vectors of `out_dim`."""


FRONT_ENDS = registry.FileKinds("icefall_discrete.nn.front_ends", FrontEndConfig)
