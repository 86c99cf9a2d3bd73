"""Streaming: a causal model fed as the frames come, chunk by chunk, many streams in one batch.

The encoder's output equals that of `Transducer.encode` on the whole utterance with the same chunk size and left
context. Letters: N streams, T frames, K codebooks, D dimensions.
"""

import dataclasses
from fractions import Fraction
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.base.rate_matching import matched_lens, source_frames
from icefall_discrete.base.settings import setting
from icefall_discrete.nn.encoders.contract import streaming_encoder
from icefall_discrete.nn.stream_state import Past, copy_state
from icefall_discrete.systems.asr.transducer import Transducer


@dataclasses.dataclass(frozen=True)
class StreamingConfig:
    """How much a streaming model waits for and how far it looks back."""

    chunk_size: int = setting(16, "frames of a chunk at the encoder's input (50 Hz in icefall's recipe)", minimum=1)
    left_context_frames: int = setting(128, "frames before a chunk that it sees, at the encoder's input", minimum=0)


@dataclasses.dataclass
class StreamState:
    """The past of N streams in front end and encoder; put together and apart by stack_states and split_state."""

    front_end: Past
    encoder: object


class StreamingEncoder:
    """Encodes windows of input frames; FrameBuffer cuts a stream into them.

    Args:
      model: a causal transducer; it is put into evaluation mode.
      config: chunk size and left context.
    """

    def __init__(self, model: Transducer, config: StreamingConfig) -> None:
        if model.positions is not None:
            raise ValueError("a model with input_positions cannot stream; train one without it.")
        self.model = model.eval()
        self.chunk_size = config.chunk_size
        self.encoder = streaming_encoder(model.encoder, config.chunk_size, config.left_context_frames)

    def initial_state(self, num: int) -> StreamState:
        """The state of `num` streams before their first chunk."""
        return StreamState(self.model.front_end.initial_past(num), self.encoder.initial_state(num))

    @torch.no_grad()
    def __call__(self, windows: Tensor, num_frames: Tensor, state: StreamState) -> Tuple[Tensor, Tensor, StreamState]:
        """Encode the next chunk of each stream.

        Args:
          windows: (N, T, K) codes or (N, T, D) features from FrameBuffer.next_window, rate matching done.
          num_frames: (N,) int64 on the CPU, from the same: front end frames in the window before the stream's end.
          state: of the N streams; not changed.
        Returns:
          Encoder frames (N, T', D), their numbers (N,) on the CPU, and the state after this chunk.
        """
        state = copy_state(state)
        x = self.model.front_end.stream(self.model.input_embedding(windows), num_frames, state.front_end)
        out, lens, encoder_state = self.encoder(x, num_frames.clamp(max=self.chunk_size), state.encoder)
        return out, lens, StreamState(state.front_end, encoder_state)

    def full_chunk(self, windows: Tensor, state: StreamState) -> Tuple[Tensor, StreamState]:
        """`__call__` for windows within every stream, without a look at numbers: for exports."""
        state = copy_state(state)
        x = self.model.front_end.stream(self.model.input_embedding(windows), None, state.front_end)
        out, encoder_state = self.encoder.full_chunk(x, state.encoder)
        return out, StreamState(state.front_end, encoder_state)


class FrameBuffer:
    """The frames of one stream that wait for their chunk, after rate matching.

    Args:
      encoder: what the windows are for.
      padding: what fills a frame outside of the stream: the K padding ids, or 0.0 in each of D dimensions.
      dtype: of the frames, int64 for codes.
    """

    def __init__(self, encoder: StreamingEncoder, padding: Sequence[float], dtype: torch.dtype) -> None:
        front_end = encoder.model.front_end
        self._ratio: Fraction = encoder.model.rate_ratio
        self._out_lens = encoder.model.config.front_end.frames_out
        self._chunk_size = encoder.chunk_size
        self._window = front_end.window
        self._padding = torch.tensor([list(padding)], dtype=dtype)
        # Frames from the start of the next window on.
        self._frames = self._filler(self._window.lead)
        self._num_received = 0
        self._num_outputs = 0
        self._num_left: Optional[int] = None

    def _filler(self, num: int) -> Tensor:
        return self._padding.expand(num, -1)

    def push(self, frames: Tensor) -> None:
        """Add frames (T, K) or (T, D) at their own rate.

        Raises:
          ValueError: if the stream was finished, or frames have another width or type than the padding.
        """
        if self._num_left is not None:
            raise ValueError("frames came after the end of the stream; open a new one.")
        if frames.dim() != 2 or frames.shape[1] != self._padding.shape[1] or frames.dtype != self._padding.dtype:
            raise ValueError(
                f"frames {tuple(frames.shape)} of {frames.dtype}, expected (T, {self._padding.shape[1]}) of "
                f"{self._padding.dtype}."
            )
        self._frames = torch.cat((self._frames, self._matched(frames.cpu())))

    def _matched(self, frames: Tensor) -> Tensor:
        """The frames after rate matching that come from `frames`, as if all had been matched together."""
        first, before = matched_lens(self._num_received, self._ratio), self._num_received
        self._num_received += len(frames)
        source = source_frames(first, matched_lens(self._num_received, self._ratio), self._ratio)
        return frames[source - before]

    def finish(self) -> None:
        """Say that no frame follows."""
        if self._num_left is None:
            num_outputs = self._out_lens(matched_lens(self._num_received, self._ratio))
            self._num_left = max(0, num_outputs - self._num_outputs)

    @property
    def is_ready(self) -> bool:
        """Whether there is a window for the next chunk."""
        if self._num_left is not None:
            return self._num_left > 0
        return len(self._frames) >= self._window.num_frames(self._chunk_size)

    @property
    def is_done(self) -> bool:
        """Whether the stream is finished and all of it was taken."""
        return self._num_left == 0

    def next_window(self) -> Tuple[Tensor, int]:
        """Take the next window: frames (T, K) or (T, D), and the number of front end frames before the stream's end."""
        size = self._window.num_frames(self._chunk_size)
        window = self._frames[:size]
        num_frames = self._chunk_size + self._window.reach
        if self._num_left is not None:
            window = torch.cat((window, self._filler(size - len(window))))
            num_frames = min(num_frames, self._num_left)
            self._num_left = max(0, self._num_left - self._chunk_size)
        self._num_outputs += self._chunk_size
        self._frames = self._frames[self._chunk_size * self._window.stride :]
        return window, num_frames
