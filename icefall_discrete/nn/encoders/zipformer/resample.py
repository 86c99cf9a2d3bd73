"""Change of frame rate between stacks."""

from typing import Optional

import torch
from torch import Tensor, nn

from icefall_discrete.nn.lengths import downsampled_lens
from icefall_discrete.nn.tracing import is_traced


def with_last_group_filled(x: Tensor, lens: Tensor, factor: int) -> Tensor:
    """Repeat the last frame of each utterance of x (N, T, D) up to the end of its last group of `factor` frames.

    An utterance alone is completed so by `Downsample`; without it, one of a batch would take padding into its mean.
    """
    if not lens.is_cuda and not is_traced() and not bool((lens % factor).any()):
        return x
    frames = torch.arange(x.shape[1], device=x.device)
    lens = lens.to(x.device).unsqueeze(1)
    is_rest = (frames >= lens) & (frames < downsampled_lens(lens, factor) * factor)
    last = x.gather(1, (lens - 1).clamp(min=0).unsqueeze(2).expand(-1, -1, x.shape[2]))
    return torch.where(is_rest.unsqueeze(2), last, x)


class Downsample(nn.Module):
    """Mean of every `factor` frames with learned weights; the last frame is repeated to fill the last group."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, x: Tensor, lens: Optional[Tensor] = None) -> Tensor:
        """Map x (N, T, D) to (N, ceil(T / factor), D); lens (N,), or None where all T frames are of utterances."""
        if lens is not None:
            x = with_last_group_filled(x, lens, self.factor)
        batch, frames, dim = x.shape
        missing = -frames % self.factor
        if is_traced() or missing:
            x = torch.cat((x, x[:, -1:].expand(-1, missing, -1)), dim=1)
        groups = x.reshape(batch, -1, self.factor, dim)
        return (groups * self.bias.softmax(dim=0).unsqueeze(1)).sum(dim=2)


def upsample(x: Tensor, factor: int, num_frames: int) -> Tensor:
    """Repeat each frame of x (N, T, D) `factor` times and keep the first `num_frames`."""
    batch, frames, dim = x.shape
    return x.unsqueeze(2).expand(-1, -1, factor, -1).reshape(batch, frames * factor, dim)[:, :num_frames]
