"""The causal Zipformer encoder chunk by chunk.

What comes out equals the whole utterance's forward with the same chunk size and left context (masks.py): keys, values
and convolution inputs of the left context are remembered instead of computed again.
"""

from typing import Dict, Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.nn.chunks import (
    left_chunks_of,
    require_chunk,
    require_stream,
    unseen_in_chunk,
    unseen_in_full_chunk,
)
from icefall_discrete.nn.encoders.contract import StreamingEncoder
from icefall_discrete.nn.encoders.zipformer.encoder import Zipformer, with_dim
from icefall_discrete.nn.encoders.zipformer.layer import ZipformerLayer
from icefall_discrete.nn.encoders.zipformer.masks import StackMasks, check_chunk
from icefall_discrete.nn.encoders.zipformer.state import EncoderState, LayerState
from icefall_discrete.nn.lengths import downsampled_lens
from icefall_discrete.nn.stream_state import Past, copy_state
from icefall_discrete.nn.tracing import is_traced


def _initial_layer_state(layer: ZipformerLayer, num: int, left: int) -> LayerState:
    weight = layer.norm.bias

    def past(frames: int, dim: int) -> Past:
        return Past(weight.new_zeros((num, frames, dim)))

    dim, kernel = weight.shape[0], layer.convolution1.kernel
    return LayerState(
        keys=past(left, layer.attention_weights.sizes[0]),
        gated_values=past(left, layer.nonlin_attention.out_proj.in_features),
        values1=past(left, layer.self_attention1.in_proj.out_features),
        values2=past(left, layer.self_attention2.in_proj.out_features),
        conv1=past(kernel // 2, dim),
        conv2=past(kernel // 2, dim),
    )


def _chunk_masks(lens: Tensor, processed: Tensor, chunk_size: int, left: int, device: torch.device) -> StackMasks:
    """Masks of one stack; lens and processed (N,) on the CPU, and sizes, count frames at the stack's own rate."""
    hidden, padded = unseen_in_chunk(lens, processed, chunk_size, left)
    lone = (processed == 0) & (lens < chunk_size)
    asks = not is_traced()
    return StackMasks(
        attention=None if hidden is None else hidden.to(device),
        padding=None if asks and not bool(padded.any()) else padded.unsqueeze(2).to(device),
        chunk_size=chunk_size,
        only_chunks=None if asks and not bool(lone.any()) else torch.where(lone, lens, chunk_size).to(device),
    )


def _full_chunk_masks(processed: Tensor, chunk_size: int, left: int) -> StackMasks:
    """Those of `_chunk_masks` where no stream ends, without a look at the numbers."""
    return StackMasks(unseen_in_full_chunk(processed, chunk_size, left), None, chunk_size)


class StreamingZipformer(StreamingEncoder[EncoderState]):
    """Runs a Zipformer on one chunk of each of N streams, which may be at different positions.

    Args:
      encoder: a causal Zipformer in evaluation mode.
      chunk_size: frames of a chunk at the encoder's input.
      left_context_frames: frames before a chunk that it sees, at the encoder's input; rounded down to whole chunks,
        at least one, as in training.
    """

    def __init__(self, encoder: Zipformer, chunk_size: int, left_context_frames: int) -> None:
        config = encoder.config
        require_stream(config.causal, chunk_size, left_context_frames)
        left_chunks = left_chunks_of(left_context_frames, chunk_size)
        check_chunk(config, chunk_size, left_chunks)
        if chunk_size % config.output_downsampling_factor:
            raise ValueError(
                f"chunk_size {chunk_size} is not a multiple of output_downsampling_factor "
                f"{config.output_downsampling_factor}."
            )
        self.encoder = encoder
        self.chunk_size = chunk_size
        self.left_frames = left_chunks * chunk_size

    def initial_state(self, num: int) -> EncoderState:
        """The state of `num` streams before their first chunk."""
        stacks = tuple(
            tuple(_initial_layer_state(layer, num, self.left_frames // stack.factor) for layer in stack.layers)
            for stack in self.encoder.stacks
        )
        return EncoderState(stacks, torch.zeros(num, dtype=torch.int64))

    @torch.no_grad()
    def __call__(self, x: Tensor, lens: Tensor, state: EncoderState) -> Tuple[Tensor, Tensor, EncoderState]:
        """Encode the next chunk of each stream.

        Args:
          x: (N, chunk_size, D0).
          lens: (N,) int64 on the CPU, 1 to chunk_size; fewer than chunk_size only in the last chunk of a stream.
          state: of the N streams; not changed.
        Returns:
          The output (N, chunk_size / output_downsampling_factor, output_dim), its lengths (N,) on the CPU, and the
          state after this chunk.
        """
        require_chunk(x, lens, self.chunk_size)
        state = copy_state(state)
        hold = self._hold(lens, x.device)
        masks = {
            factor: _chunk_masks(
                downsampled_lens(lens, factor),
                torch.div(state.processed, factor, rounding_mode="floor"),
                self.chunk_size // factor,
                self.left_frames // factor,
                x.device,
            )
            for factor in set(self.encoder.config.downsampling_factor)
        }
        x = self._encoded(x, masks, hold, state.stacks)
        state.processed = state.processed + lens
        return x, downsampled_lens(lens, self.encoder.config.output_downsampling_factor), state

    def full_chunk(self, x: Tensor, state: EncoderState) -> Tuple[Tensor, EncoderState]:
        """See StreamingEncoder."""
        state = copy_state(state)
        masks = {
            factor: _full_chunk_masks(
                torch.div(state.processed, factor, rounding_mode="floor"),
                self.chunk_size // factor,
                self.left_frames // factor,
            )
            for factor in set(self.encoder.config.downsampling_factor)
        }
        x = self._encoded(x, masks, None, state.stacks)
        state.processed = state.processed + self.chunk_size
        return x, state

    def _encoded(
        self, x: Tensor, masks: Dict[int, StackMasks], hold: Optional[Tensor], states: Sequence[Sequence[LayerState]]
    ) -> Tensor:
        """The output for a chunk, with the masks of each downsampling factor; `states` are brought up to date."""
        encoder = self.encoder
        outputs = []
        for stack, dim, layers in zip(encoder.stacks, encoder.config.stack_values("encoder_dim"), states):
            x = stack(_held(with_dim(x, dim), hold), masks[stack.factor], None, layers)
            outputs.append(x)
        x = _held(encoder.widest(outputs), hold)
        return x if encoder.output_downsample is None else encoder.output_downsample(x)

    def _hold(self, lens: Tensor, device: torch.device) -> Optional[Tensor]:
        """(N, T, 1) where each frame is taken from: its own place, or the last one behind the end of a stream."""
        if not is_traced() and int(lens.min()) == self.chunk_size:
            return None
        return torch.minimum(torch.arange(self.chunk_size), lens.unsqueeze(1) - 1).unsqueeze(2).to(device)


def _held(x: Tensor, hold: Optional[Tensor]) -> Tensor:
    """Repeat the last frame of short streams: downsampling completes the last group of an utterance so."""
    return x if hold is None else x.gather(1, hold.expand(-1, -1, x.shape[2]))
