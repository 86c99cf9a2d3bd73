"""Attention of steps to themselves and those before them.

Letters: N sequences, T new steps, J steps that are seen, H heads, D dimension.
"""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

# torch before 2.0 has none.
_FUSED = hasattr(F, "scaled_dot_product_attention")


def attended(query: Tensor, key: Tensor, value: Tensor, seen: Optional[Tensor], dropout: float) -> Tensor:
    """Values (N, H, T, D/H) that queries (N, H, T, D/H) find by keys (N, H, J, D/H).

    Args:
      seen: (N or 1, 1, T, J) bool, which keys a query sees, at least one each; None: J = T, and each sees itself and
        those before it. dropout: rate of the weights.
    """
    if _FUSED:
        return F.scaled_dot_product_attention(query, key, value, seen, dropout, is_causal=seen is None)
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    if seen is None:
        steps = torch.arange(query.shape[2], device=query.device)
        seen = steps.unsqueeze(1) >= steps
    return F.dropout(scores.masked_fill(~seen, float("-inf")).softmax(dim=3), dropout, dropout > 0) @ value


def sight(num_new: int, num_before: int, context: int, starts: Optional[Tensor], like: Tensor) -> Optional[Tensor]:
    """Which keys new steps see, as `attended` takes it, on the device of `like`.

    Args:
      num_new: T. num_before: J - T, steps before the new ones. context: steps that one looks back on, itself included.
      starts: (N,), where each sequence begins behind its padding; None: at 0.
    """
    keys = torch.arange(num_before + num_new, device=like.device)
    steps = keys[num_before:].unsqueeze(1)
    if starts is None and not num_before and num_new <= context:
        return None
    seen = (keys <= steps) & (steps - keys < context)
    if starts is None:
        return seen[None, None]
    behind = keys >= starts.to(keys.device)[:, None, None]
    return ((seen & behind) | (keys == steps)).unsqueeze(1)  # a step of padding sees itself: no row may be empty
