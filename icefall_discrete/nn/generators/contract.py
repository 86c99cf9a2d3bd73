"""What every generator of a waveform offers, and its settings: the kind by its file's name.

Letters: N utterances, C channels, T frames, F samples of a frame. What lies before the first and behind the last frame
is zeros, so that an utterance is to be given alone or with utterances of its own length, or as a window of one.
"""

import abc

from torch import Tensor, nn

from icefall_discrete.base import registry


class Generator(nn.Module, abc.ABC):
    """Maps vectors of frames to audio."""

    reach: int
    """Frames on each side of a sample's own that it depends on, at most."""

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Audio (N, T F) of vectors x (N, C, T)."""


class GeneratorConfig(abc.ABC):
    """Settings of a Generator, a frozen dataclass in a file of its own, whose name is the kind."""

    @abc.abstractmethod
    def build(self, in_dim: int, frame_samples: int) -> Generator:
        """The module for vectors of `in_dim` channels, each of `frame_samples` (F) samples.

        Raises:
          ValueError: if it cannot make as many samples of a frame.
        """


GENERATORS = registry.FileKinds("icefall_discrete.nn.generators", GeneratorConfig)
