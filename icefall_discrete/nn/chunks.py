"""Attention by chunks: each frame sees its own chunk and some before it, so that an encoder can stream.

What causal encoders share: which chunk a batch gets, who sees whom, and what a stream may hand over.
"""

import random
from typing import Optional, Protocol, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.nn.tracing import is_traced


class ChunkSettings(Protocol):
    """What a causal encoder's settings say of chunks; of several numbers one is drawn, and -1 stands for no limit."""

    @property
    def causal(self) -> bool:
        """Whether there are chunks."""

    @property
    def chunk_size(self) -> Tuple[int, ...]:
        """Frames of a chunk."""

    @property
    def left_context_frames(self) -> Tuple[int, ...]:
        """Frames before a chunk that it sees."""


def draw_chunk(config: ChunkSettings, training: bool) -> Tuple[int, int]:
    """Chunk size and number of chunks of left context of this batch; -1 stands for no limit.

    Drawn in training; otherwise the widest there are, so that what is recognised does not depend on chance.
    """
    if not config.causal:
        return -1, -1
    choose = random.choice if training else _widest
    chunk_size = choose(config.chunk_size)
    if chunk_size == -1:
        return -1, -1
    return chunk_size, left_chunks_of(choose(config.left_context_frames), chunk_size)


def _widest(sizes: Sequence[int]) -> int:
    return -1 if min(sizes) < 0 else max(sizes)


def left_chunks_of(left_context_frames: int, chunk_size: int) -> int:
    """Chunks of left context, at least 1 where it is limited (0 or more frames), or -1."""
    return -1 if left_context_frames < 0 else max(left_context_frames // chunk_size, 1)


def chunk_mask(num_frames: int, chunk_size: int, left_chunks: int, device: torch.device) -> Tensor:
    """(T, T) bool: True where the source frame's chunk is later than the target's, or beyond its left context."""
    chunk = torch.arange(num_frames, device=device) // chunk_size
    behind = chunk.unsqueeze(1) - chunk
    hidden = behind < 0
    return hidden if left_chunks < 0 else hidden | (behind > left_chunks)


def unseen_in_chunk(lens: Tensor, processed: Tensor, chunk_size: int, left: int) -> Tuple[Optional[Tensor], Tensor]:
    """Who is not seen by a chunk of N streams: (N, 1, left + chunk_size) bool, None if all are; and padding.

    A trace is not asked whether there are any.

    Args:
      lens, processed: (N,), on the CPU: frames of the chunk, and before it. left: frames of left context.
    Returns:
      the sources that a young stream has not had yet or that are behind the end of one; and the latter (N, chunk_size).
    """
    absent = torch.arange(left) < left - processed.unsqueeze(1)
    padded = torch.arange(chunk_size) >= lens.unsqueeze(1)
    hidden = torch.cat((absent, padded), dim=1).unsqueeze(1)
    return (hidden if is_traced() or bool(hidden.any()) else None), padded


def unseen_in_full_chunk(processed: Tensor, chunk_size: int, left: int) -> Tensor:
    """`unseen_in_chunk` where no stream ends, without a look at the numbers: (N, 1, left + chunk_size) bool."""
    return (torch.arange(left + chunk_size) < left - processed.unsqueeze(1)).unsqueeze(1)


def require_stream(causal: bool, chunk_size: int, left_context_frames: int) -> None:
    """Raise ValueError unless an encoder was trained for streams, and they have chunks and a limited left context."""
    if not causal:
        raise ValueError("streaming needs an encoder that was trained with causal; this one saw whole utterances.")
    if chunk_size < 1 or left_context_frames < 0:
        raise ValueError(
            f"chunk_size is {chunk_size} and left_context_frames {left_context_frames}; a stream needs a chunk of "
            "1 frame or more and a limited left context."
        )


def require_chunk(x: Tensor, lens: Tensor, chunk_size: int) -> None:
    """Raise ValueError unless x (N, T, D) with lens (N,) is a chunk, which is short only where a stream ends.

    A trace is not asked.
    """
    if is_traced():
        return
    if x.shape[1] != chunk_size or not 1 <= int(lens.min()) <= int(lens.max()) <= chunk_size:
        raise ValueError(
            f"a chunk of {x.shape[1]} frames with lens {lens.tolist()}; expected {chunk_size} frames and lens "
            f"from 1 to {chunk_size}."
        )
