"""Who may see whom: padding, chunks with left context, and feature masks of training."""

import dataclasses
from typing import List, Optional

import torch
from torch import Tensor

from icefall_discrete.nn.chunks import chunk_mask, draw_chunk
from icefall_discrete.nn.encoders.zipformer.config import ZipformerConfig

FEATURE_MASK_PROB = 0.125


@dataclasses.dataclass(frozen=True)
class StackMasks:
    """Masks of one stack at its own frame rate; True means hidden.

    attention: (N, T, T), (N, 1, T), (1, T, T) or None, target frame before source frame. padding: (N, T, 1) or None.
    chunk_size: frames of a chunk, or -1. only_chunks: see ChunkCausalConv1d; None but in streaming.
    """

    attention: Optional[Tensor]
    padding: Optional[Tensor]
    chunk_size: int
    only_chunks: Optional[Tensor] = None


def check_chunk(config: ZipformerConfig, chunk_size: int, left_chunks: int) -> None:
    """Raise ValueError if a chunk cannot be divided among the stacks or its left context is under a kernel's reach."""
    for factor, kernel in zip(config.downsampling_factor, config.stack_values("cnn_module_kernel")):
        if chunk_size % factor:
            raise ValueError(f"chunk_size {chunk_size} is not a multiple of downsampling factor {factor}.")
        if left_chunks >= 0 and chunk_size * left_chunks < kernel // 2 * factor:
            raise ValueError(
                f"left context of {chunk_size * left_chunks} frames is shorter than the {kernel // 2 * factor} frames "
                f"that a kernel of {kernel} reaches back at downsampling {factor}; raise left_context_frames."
            )


def stack_masks(
    config: ZipformerConfig, padding: Optional[Tensor], num_frames: int, device: torch.device, training: bool
) -> List[StackMasks]:
    """Return the masks of every stack for a batch of `num_frames` frames whose `padding` is (N, T) or None."""
    chunk_size, left_chunks = draw_chunk(config, training)
    chunks = None
    if chunk_size > 0:
        check_chunk(config, chunk_size, left_chunks)
        chunks = chunk_mask(num_frames, chunk_size, left_chunks, device).unsqueeze(0)
    by_factor = {}
    for factor in set(config.downsampling_factor):
        here = None if padding is None else padding[:, ::factor]
        attention = None if here is None else here.unsqueeze(1)
        if chunks is not None:
            coarse = chunks[:, ::factor, ::factor]
            attention = coarse if attention is None else attention | coarse
        by_factor[factor] = StackMasks(
            attention=attention,
            padding=None if here is None else here.unsqueeze(2),
            chunk_size=-1 if chunk_size < 0 else chunk_size // factor,
        )
    return [by_factor[factor] for factor in config.downsampling_factor]


def draw_feature_masks(config: ZipformerConfig, x: Tensor) -> List[Tensor]:
    """Draw for each stack a mask (N, 1, D) of 0 and 1 that hides upper dimensions of some utterances.

    Dimensions above the unmasked ones lose their upper half more often than their lower half, and all stacks lose
    them together, so that the network also learns to work with fewer dimensions.
    """
    num_utterances = x.shape[0]
    draws = torch.rand((2, num_utterances, 1, 1), device=x.device) > FEATURE_MASK_PROB
    lower = draws[0].to(x.dtype)
    upper = lower * draws[1]
    masks = []
    for dim, unmasked in zip(config.stack_values("encoder_dim"), config.stack_values("encoder_unmasked_dim")):
        half = (dim - unmasked) // 2
        pieces = [torch.ones_like(lower).expand(-1, -1, unmasked), lower.expand(-1, -1, half)]
        masks.append(torch.cat([*pieces, upper.expand(-1, -1, dim - unmasked - half)], dim=2))
    return masks
