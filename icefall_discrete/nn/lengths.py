"""How many frames there are, and which of a padded batch are none."""

from typing import Optional, TypeVar

import torch
from torch import Tensor

from icefall_discrete.nn.tracing import is_traced

# Numbers of frames: of one utterance, or of each of a batch.
Lens = TypeVar("Lens", int, Tensor)


def padding_mask(lens: Tensor, num_frames: int) -> Optional[Tensor]:
    """(N, T) bool, True after the end of each utterance; None if all are full (a GPU is not asked, nor a trace)."""
    if not lens.is_cuda and not is_traced() and bool((lens >= num_frames).all()):
        return None
    return torch.arange(num_frames, device=lens.device) >= lens.unsqueeze(1)


def downsampled_lens(lens: Lens, factor: int) -> Lens:
    """Frames after downsampling by `factor`, rounded up; `lens` is an int or an integer tensor."""
    return (lens + factor - 1) // factor


def with_whole_gradients(x: Tensor) -> Tensor:
    """Return x, what GELU gave, whose gradients will be contiguous.

    Of others, GELU of torch 1.13 may give gradients of its input that were never set.
    """
    if x.requires_grad:
        x.register_hook(torch.Tensor.contiguous)
    return x
