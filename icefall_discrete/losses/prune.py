"""Which label positions each frame keeps, and the tensors cut down to them.

Pruned RNN-T, https://arxiv.org/abs/2206.13236. Letters: N utterances, U labels, T frames, R kept positions a frame.
"""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


def prune_ranges(
    label_occupation: Tensor, blank_occupation: Tensor, label_lens: Tensor, frame_lens: Tensor, prune_range: int
) -> Tensor:
    """Choose for each frame the `prune_range` neighbouring label positions that carry most of the alignment.

    Args:
      label_occupation: (N, U, T + 1) for a regular lattice, (N, U, T) otherwise; from `smoothed_rnnt_loss`.
      blank_occupation: (N, U + 1, T).
      label_lens: (N,).
      frame_lens: (N,).
      prune_range: R, positions to keep; at least 2 for a regular lattice, where a range of 1 leaves no path. With more
        than U it becomes U + 1.

    Returns:
      (N, T, R) int64 positions in [0, U]. The first position of a frame never falls and rises by less than R (by at
      most 1 in a lattice that is not regular) from one frame to the next, so that a path survives.
    """
    positions, num_frames = blank_occupation.shape[1:]
    regular = label_occupation.size(2) == num_frames + 1
    least = 2 if regular else 1
    if prune_range < least:
        raise ValueError(f"prune_range is {prune_range}, but this lattice needs at least {least}; raise it.")
    size = positions if prune_range > positions - 1 else prune_range
    starts = positions - size + 1
    kept = blank_occupation.unfold(1, size, 1).permute(0, 1, 3, 2).sum(dim=2)
    # A label arc into the first kept position comes from outside the range: what it carries would be lost.
    lost = F.pad(label_occupation, (0, 0, 1, 0))[:, :starts, :num_frames]
    begin = torch.argmax(kept - lost, dim=1)
    frames = torch.arange(num_frames, device=begin.device)
    last = (label_lens[:, None] - size + 1).clamp(min=0)
    begin = torch.where(frames[None] < frame_lens[:, None] - 1, begin, last)
    begin = _connected(begin, frames * ((size if regular else 2) - 1))
    return begin.unsqueeze(2) + torch.arange(size, device=begin.device)


def _connected(begin: Tensor, most: Tensor) -> Tensor:
    """Lower `begin` (N, T) so that it never falls and so that `begin - most` never rises."""
    begin = _lowered_to_rise(begin)
    return most - _lowered_to_rise(most - begin).clamp(min=0)


def _lowered_to_rise(values: Tensor) -> Tensor:
    """The largest sequence below `values` that never falls along the last dimension."""
    return values.flip(-1).cummin(dim=-1).values.flip(-1)


def prune(am: Tensor, lm: Tensor, ranges: Tensor) -> Tuple[Tensor, Tensor]:
    """Cut encoder and predictor outputs down to `ranges`.

    Args:
      am: (N, T, D) encoder side.
      lm: (N, U + 1, D) predictor side.
      ranges: (N, T, R) from `prune_ranges`.

    Returns:
      am (N, T, R, D), a view; lm (N, T, R, D).
    """
    num, num_frames, size = ranges.shape
    offsets = torch.arange(num, device=ranges.device)[:, None, None] * lm.size(1)
    # An embedding look-up gathers whole rows, and its backward adds them without a tensor of shape (N, T, U + 1, D).
    lm_pruned = F.embedding(ranges + offsets, lm.reshape(-1, lm.size(2)))
    return am.unsqueeze(2).expand(num, num_frames, size, am.size(2)), lm_pruned
