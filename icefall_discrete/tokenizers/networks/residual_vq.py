"""Residual vector quantisation at inference: each codebook codes what the ones before it left over.

Zeghidour et al. 2021, https://arxiv.org/abs/2107.03312, algorithm 1. T frames, D dimensions, K codebooks, V entries.
"""

from typing import List, Protocol, Sequence

import torch
from torch import Tensor, nn

from icefall_discrete.tokenizers.formats.pretrained import Weights


def nearest(states: Tensor, codebook: Tensor) -> Tensor:
    """Index (T,) of the entry of `codebook` (V, D) nearest to each of `states` (T, D); the first one of equals.

    The squared distance is summed in the order of EnCodec's code, so that rounding decides near ties as it does there.
    """
    table = codebook.t()
    distance = states.pow(2).sum(1, keepdim=True) - 2 * states @ table + table.pow(2).sum(0, keepdim=True)
    return (-distance).max(dim=-1).indices


class CodebookQuantizer(Protocol):
    """Between states and codes, by K codebooks."""

    def codebooks(self) -> List[Tensor]:
        """What each entry adds to the states, K tensors (V_k, D)."""

    def encode(self, states: Tensor, num_codebooks: int) -> Tensor:
        """Codes (T, num_codebooks) int64 of states (T, D), by the first `num_codebooks`."""

    def decode(self, codes: Tensor) -> Tensor:
        """States (T, D) of codes (T, K)."""


class ResidualVq(nn.Module):
    """K codebooks (V_k, D), used one after the other."""

    def __init__(self, codebooks: Sequence[Tensor]) -> None:
        """Copies of `codebooks` are kept as buffers."""
        super().__init__()
        self.num_codebooks = len(codebooks)
        for index, codebook in enumerate(codebooks):
            self.register_buffer(f"codebook{index}", codebook.detach().float().clone())

    def codebooks(self) -> List[Tensor]:
        """The codebooks, K tensors (V_k, D)."""
        return [getattr(self, f"codebook{index}") for index in range(self.num_codebooks)]

    def encode(self, states: Tensor, num_codebooks: int) -> Tensor:
        """Codes (T, num_codebooks) int64 of states (T, D), by the first `num_codebooks`."""
        codes: List[Tensor] = []
        states = states.contiguous()
        for codebook in self.codebooks()[:num_codebooks]:
            codes.append(nearest(states, codebook))
            states = states - codebook[codes[-1]]
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """States (T, D): the sum of the entries that codes (T, K) name, K at most the number of codebooks."""
        states = torch.zeros((), device=codes.device)
        for index, codebook in enumerate(self.codebooks()[: codes.shape[1]]):
            states = states + codebook[codes[:, index]]
        return states


def residual_vq_from(weights: Weights) -> ResidualVq:
    """Build from a state dict of EnCodec's quantizer (`vq.layers.0._codebook.embed` ...); all of it is taken."""
    codebooks: List[Tensor] = []
    while f"vq.layers.{len(codebooks)}._codebook.embed" in weights:
        codebooks.append(weights.take(f"vq.layers.{len(codebooks)}._codebook.embed"))
    weights.drop(r"vq\.layers\.\d+\._codebook\.(inited|cluster_size|embed_avg)")
    weights.require_empty()
    if not codebooks:
        weights.take("vq.layers.0._codebook.embed")
    return ResidualVq(codebooks)
