"""Residual VQ with factorised codes: each codebook sees a projection to few dimensions and compares directions.

Kumar et al. 2023, https://arxiv.org/abs/2306.06546, section 3.2. Names and sums are those of transformers' DAC.
T frames, D dimensions of the states, d of the codes, K codebooks, V entries.
"""

from typing import List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.tokenizers.formats.pretrained import Weights
from icefall_discrete.tokenizers.networks.residual_vq import nearest


class FactorisedLayer(nn.Module):
    """One codebook (V, d) with projections from and to the states."""

    in_proj_weight: Tensor
    in_proj_bias: Tensor
    codebook: Tensor
    out_proj_weight: Tensor
    out_proj_bias: Tensor

    def __init__(self, weights: Weights) -> None:
        """Take `in_proj.*`, `codebook.weight` and `out_proj.*`, which must be all of `weights`."""
        super().__init__()
        for name in ("in_proj", "out_proj"):
            self.register_buffer(f"{name}_weight", weights.take_normed(f"{name}.")[..., 0])
            self.register_buffer(f"{name}_bias", weights.take(f"{name}.bias"))
        self.register_buffer("codebook", weights.take("codebook.weight"))
        weights.require_empty()

    def project(self, states: Tensor) -> Tensor:
        """Map (..., D) to (..., d)."""
        return F.linear(states, self.in_proj_weight, self.in_proj_bias)

    def lookup(self, latents: Tensor) -> Tensor:
        """Index (T,) of the entry whose direction is nearest to that of each of `latents` (T, d)."""
        return nearest(F.normalize(latents), F.normalize(self.codebook))

    def expand(self, entries: Tensor) -> Tensor:
        """Map (..., d) to (..., D)."""
        return F.linear(entries, self.out_proj_weight, self.out_proj_bias)


class FactorisedVq(nn.Module):
    """K factorised codebooks, used one after the other."""

    def __init__(self, weights: Weights) -> None:
        """Take all of `weights`, with names from `quantizers.0.in_proj.weight` on."""
        super().__init__()
        indices = sorted({int(name.split(".")[1]) for name in weights.names() if name.startswith("quantizers.")})
        self.layers = ModuleRow(FactorisedLayer(weights.part(f"quantizers.{index}.")) for index in indices)
        weights.require_empty()

    def codebooks(self) -> List[Tensor]:
        """What each entry adds to the states, K tensors (V, D)."""
        return [layer.expand(layer.codebook) for layer in self.layers]

    def encode(self, states: Tensor, num_codebooks: int) -> Tensor:
        """Codes (T, num_codebooks) int64 of states (T, D), by the first `num_codebooks`."""
        codes: List[Tensor] = []
        for layer in list(self.layers)[:num_codebooks]:
            codes.append(layer.lookup(layer.project(states)))
            states = states - layer.expand(layer.codebook[codes[-1]])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """States (T, D): the sum of what the entries that codes (T, K) name add."""
        states = torch.zeros((), device=codes.device)
        for index, layer in enumerate(list(self.layers)[: codes.shape[1]]):
            states = states + layer.expand(layer.codebook[codes[:, index]])
        return states
