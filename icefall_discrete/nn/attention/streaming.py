"""Encoders of equal layers chunk by chunk.

What comes out equals the whole utterance's forward with the same chunk size and left context (nn/chunks.py): keys,
values and what convolutions read are remembered instead of computed again.
"""

import dataclasses
from typing import Any, Optional, Tuple

import torch
from torch import Tensor

from icefall_discrete.nn.attention.context import Context, LayerPast
from icefall_discrete.nn.attention.layered_encoder import EncoderLayer, LayeredEncoder
from icefall_discrete.nn.chunks import (
    left_chunks_of,
    require_chunk,
    require_stream,
    unseen_in_chunk,
    unseen_in_full_chunk,
)
from icefall_discrete.nn.encoders.contract import StreamingEncoder
from icefall_discrete.nn.stream_state import Past, copy_state
from icefall_discrete.nn.utterance_frames import UtteranceFrames


@dataclasses.dataclass
class LayersState:
    """The past of each layer, and `processed` (N,) int64, on the CPU: frames so far."""

    layers: Tuple[LayerPast, ...]
    processed: Tensor


class StreamingLayers(StreamingEncoder[LayersState]):
    """Runs an encoder of equal layers on one chunk of each of N streams, which may be at different positions.

    Args:
      encoder: causal, in evaluation mode. chunk_size: frames of a chunk.
      left_context_frames: frames before a chunk that it sees; rounded down to whole chunks, at least one, as in
        training. Convolutions see what they see in any case, a kernel's frames back.
    """

    def __init__(self, encoder: LayeredEncoder[Any], chunk_size: int, left_context_frames: int) -> None:
        require_stream(encoder.config.causal, chunk_size, left_context_frames)
        self.encoder = encoder
        self.chunk_size = chunk_size
        self.left_frames = left_chunks_of(left_context_frames, chunk_size) * chunk_size

    def initial_state(self, num: int) -> LayersState:
        """The state of `num` streams before their first chunk."""
        layers = tuple(self._initial_past(layer, num) for layer in self.encoder.layers)
        return LayersState(layers, torch.zeros(num, dtype=torch.int64))

    def _initial_past(self, layer: EncoderLayer, num: int) -> LayerPast:
        weight = self.encoder.after_norm.weight

        def past(frames: int, dim: int) -> Past:
            return Past(weight.new_zeros((num, frames, dim)))

        dim = self.encoder.config.dim
        convolutions = tuple(past(one.reach, one.channels) for one in layer.convolutions)
        return LayerPast(past(self.left_frames, dim), past(self.left_frames, dim), convolutions)

    @torch.no_grad()
    def __call__(self, x: Tensor, lens: Tensor, state: LayersState) -> Tuple[Tensor, Tensor, LayersState]:
        """Encode the next chunk x (N, chunk_size, dim) with lens (N,), on the CPU; only a stream's last one is short.

        The state is not changed. Returns the output (N, chunk_size, dim), its lens, and the state after this chunk.
        """
        require_chunk(x, lens, self.chunk_size)
        hidden, _ = unseen_in_chunk(lens, state.processed, self.chunk_size, self.left_frames)
        x, state = self._encoded(x, lens, None if hidden is None else hidden.to(x.device), state)
        return x, lens, state

    def full_chunk(self, x: Tensor, state: LayersState) -> Tuple[Tensor, LayersState]:
        """See StreamingEncoder."""
        lens = torch.full_like(state.processed, self.chunk_size)
        return self._encoded(x, lens, unseen_in_full_chunk(state.processed, self.chunk_size, self.left_frames), state)

    def _encoded(
        self, x: Tensor, lens: Tensor, hidden: Optional[Tensor], state: LayersState
    ) -> Tuple[Tensor, LayersState]:
        """The output for a chunk, where sources are hidden, and the state after it."""
        state = copy_state(state)
        frames = UtteranceFrames(lens.to(x.device), self.chunk_size)
        x, offsets = self.encoder.positions.stream(x, state.processed, self.left_frames)
        for layer, past in zip(self.encoder.layers, state.layers):
            x = layer(x, Context(frames, hidden, offsets, past))
        state.processed = state.processed + lens
        return self.encoder.after_norm(x), state
