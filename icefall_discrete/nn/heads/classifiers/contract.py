"""What every way from frames to one vector an utterance offers, and its settings: the kind by its file's name.

Letters: N utterances, T' encoder frames, D dimension, E dimension of an embedding.
"""

import abc

from torch import Tensor, nn

from icefall_discrete.base import registry


class Embedder(nn.Module, abc.ABC):
    """Maps the frames of an utterance to its embedding, and that to what the output layer reads."""

    out_dim: int
    """Dimension of what the output layer reads."""

    @abc.abstractmethod
    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        """Embeddings (N, E) of frames x (N, T', D) with lens (N,); padding takes no part."""

    def refined(self, embeddings: Tensor) -> Tensor:
        """What the output layer reads, (N, out_dim), from embeddings (N, E): by default the same."""
        return embeddings


class ClassifierConfig(abc.ABC):
    """Settings of an Embedder, a frozen dataclass in a file of its own, whose name is the kind."""

    @abc.abstractmethod
    def build(self, in_dim: int) -> Embedder:
        """The module for frames of `in_dim` dimensions."""


CLASSIFIERS = registry.FileKinds("icefall_discrete.nn.heads.classifiers", ClassifierConfig)
