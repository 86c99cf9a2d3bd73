"""What every quantizer within a network offers, and its settings: the kind by its file's name.

Letters: M frames, C channels, G groups (codebooks) of V codes, E dimension of what comes out.
"""

import abc
from typing import List, NamedTuple, Optional

import torch
from torch import Tensor, nn

from icefall_discrete.base import registry

_LEAST = 1e-7


class Quantized(NamedTuple):
    """vectors (M, E) that gradients go through; codes (M, G); perplexity: of the codes, summed over groups; loss: what
    keeps the codes in use or in place, to be weighed by the setting `loss_weight`."""

    vectors: Tensor
    codes: Tensor
    perplexity: Tensor
    loss: Tensor


class Quantizer(nn.Module, abc.ABC):
    """Maps frames to vectors of which there are but few: `vectors` (G, V, E / G), or (1, V, E / G) shared by groups."""

    config: "QuantizerConfig"
    vectors: nn.Parameter

    def codebooks(self) -> List[Tensor]:
        """The vectors (V, E / G) of each group, on the CPU."""
        return list(self.vectors.detach().cpu().expand(self.config.num_groups, -1, -1).clone())

    @abc.abstractmethod
    def forward(self, x: Tensor, step: int, utterances: Optional[Tensor] = None) -> Quantized:
        """Quantise frames x (M, C) of optimiser step number `step`, which schedules follow.

        `utterances` (M,): number of the utterance of each frame, from 0; None: all are of one.
        """


class QuantizerConfig(abc.ABC):
    """Settings of a quantizer, a frozen dataclass in a file of its own, whose name is the kind."""

    num_groups: int
    out_dim: int
    loss_weight: float

    @property
    @abc.abstractmethod
    def num_codes(self) -> int:
        """G V."""

    @abc.abstractmethod
    def build(self, in_dim: int) -> Quantizer:
        """The module for frames of `in_dim` channels."""


QUANTIZERS = registry.FileKinds("icefall_discrete.nn.quantizers", QuantizerConfig)


def summed_perplexity(shares: Tensor) -> Tensor:
    """Of shares (G, V) of the codes: how many codes of equal shares would be as many, summed over groups."""
    return torch.exp(-(shares * (shares + _LEAST).log()).sum(dim=1)).sum()
