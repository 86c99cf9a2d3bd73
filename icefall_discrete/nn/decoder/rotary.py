"""Places of steps as angles: pairs of dimensions of queries and keys are turned by their place.

Su et al. 2021, RoPE, https://arxiv.org/abs/2104.09864; dimension i is paired with i + D/2, as in LLaMA's of
transformers, so that weights of these mean the same here. What a query and a key have in common then depends on the
distance of their places alone.
"""

from typing import Tuple

import torch
from torch import Tensor


def angles(places: Tensor, dim: int, base: float) -> Tuple[Tensor, Tensor]:
    """Cosines and sines (N, 1, T, dim) for heads of `dim` dimensions of steps at `places` (N, T), in 32 bits."""
    rates = base ** (-torch.arange(0, dim, 2, device=places.device, dtype=torch.float32) / dim)
    turned = (places.to(torch.float32).unsqueeze(-1) * rates).repeat(1, 1, 2).unsqueeze(1)
    return turned.cos(), turned.sin()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (N, H, T, dim), each pair of dimensions turned by its angle."""
    left, right = x.chunk(2, dim=-1)
    return x * cos.to(x) + torch.cat((-right, left), dim=-1) * sin.to(x)
