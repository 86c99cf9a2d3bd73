"""What every generator of a waveform offers, and its settings: the kind by its file's name.

Letters: N utterances, C channels, T frames, F samples of a frame. What lies before the first and behind the last frame
is zeros, so that an utterance is to be given alone or with utterances of its own length, or as a window of one. A front
end before a generator looks further: at the whole utterance, and at a prompt of P frames with M mel bins.
"""

import abc
from typing import ClassVar, NamedTuple, Optional

from torch import Tensor, nn

from icefall_discrete.base import registry


class Prompt(NamedTuple):
    """Log mel spectra of somebody's speech (N, P, M), standardised (nn/log_mel.py), with lens (N,)."""

    mel: Tensor
    lens: Tensor


class Fronted(NamedTuple):
    """What a front end makes of vectors: states (N, T, C') for the generator; mel spectra (N, T, M) and prosody
    (N, T, 3) of what is said, as it expects them, if it does."""

    states: Tensor
    mel: Optional[Tensor] = None
    prosody: Optional[Tensor] = None


class FrontEnd(nn.Module, abc.ABC):
    """Stands before a generator."""

    reach: Optional[int]
    """Frames on each side of a frame's own that its state depends on, at most; None: all."""
    prompt_bins: int
    """M."""

    @abc.abstractmethod
    def forward(self, x: Tensor, lens: Tensor, prompt: Prompt, prosody: Optional[Tensor] = None) -> Fronted:
        """States of vectors x (N, T, C) with lens (N,), zeros behind the ends.

        Args:
          prosody: (N, T, 3), as it is (data/prosody.py), which the states then follow; None: as it is expected.
        """


class Generator(nn.Module, abc.ABC):
    """Maps vectors of frames to audio, or the states of its front end, where it has one."""

    reach: int
    """Frames on each side of a sample's own that it depends on, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.front: Optional[FrontEnd] = None

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Audio (N, T F) of vectors x (N, C, T)."""


class GeneratorConfig(abc.ABC):
    """Settings of a Generator, a frozen dataclass in a file of its own, whose name is the kind."""

    takes_prompt: ClassVar[bool] = False
    """Whether it has a front end, which takes a prompt."""
    expects_prosody: ClassVar[bool] = False
    """Whether the front end learns to expect the prosody of recordings (data/prosody.py)."""

    @abc.abstractmethod
    def build(self, in_dim: int, frame_samples: int) -> Generator:
        """The module for vectors of `in_dim` channels, each of `frame_samples` (F) samples.

        Raises:
          ValueError: if it cannot make as many samples of a frame.
        """


GENERATORS = registry.FileKinds("icefall_discrete.nn.generators", GeneratorConfig)
