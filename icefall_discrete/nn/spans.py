"""Which frames are hidden from the encoder: spans that start at random, as in HuBERT and wav2vec 2.0."""

from typing import Optional

import torch
from torch import Tensor


def num_starts(num_frames: int, mask_prob: float, generator: Optional[torch.Generator] = None) -> int:
    """`mask_prob` x T, rounded down or up at random so that this is its mean; at least 1."""
    return max(1, int(mask_prob * num_frames + float(torch.rand((), generator=generator))))


def span_masks(lens: Tensor, mask_prob: float, mask_length: int, generator: Optional[torch.Generator] = None) -> Tensor:
    """Masks (N, max of lens), true where a frame is hidden.

    Of the starts at which a span fits into the utterance, `num_starts` are drawn without replacement; each hides the
    `mask_length` frames from there on. Spans may overlap. An utterance shorter than two spans has one span, half as
    long as it (rounded down, at least one frame): something is hidden and, from two frames on, something is seen.
    Baevski et al. 2020, https://arxiv.org/abs/2006.11477; HuBERT has mask_prob 0.08 and mask_length 10.
    """
    masked = torch.zeros(len(lens), int(lens.max()), dtype=torch.bool)
    for row, num_frames in enumerate(lens.tolist()):
        span = min(mask_length, max(1, num_frames // 2))
        places = num_frames - span + 1
        count = num_starts(num_frames, mask_prob, generator) if span == mask_length else 1
        starts = torch.randperm(places, generator=generator)[:count]
        masked[row, (starts.unsqueeze(1) + torch.arange(span)).flatten()] = True
    return masked
