"""StreamingRecogniser: audio that comes to text that grows, by an exported encoder of chunks.

It runs on onnxruntime, numpy, soundfile and sentencepiece; torch is not imported. Letters: S samples, T frames, T'
encoder frames.
"""

import math
from pathlib import Path
from typing import Callable, List, Optional, Protocol, Union

import numpy as np

from icefall_discrete.onnx.folder import AGAIN, CTC, ENCODER, MODEL_FILE, NUM_FRAMES, TOKENIZER, Chunks
from icefall_discrete.onnx.networks import ExportedNetworks
from icefall_discrete.onnx.searches import (
    NOTHING,
    Found,
    Heads,
    UnitScores,
    extended,
    greedy_search,
    ranked,
    without_blanks,
)
from icefall_discrete.text.words import plain_spaces

_MOST_STATES = 1 << 28  # numbers of one stream, a gibibyte and more
_TYPES = {"tensor(int64)": np.int64, "tensor(float)": np.float32}


class FramesAsTheyCome:
    """Frames of audio that comes, those of the whole; as audio/as_it_comes.py, and with the same law.

    Args:
      compute: from samples (S,), at least `min_samples`, to frames (T, ...).
    """

    def __init__(self, compute: Callable[[np.ndarray], np.ndarray], chunks: Chunks, min_samples: int) -> None:
        self._compute, self._chunks, self._min_samples = compute, chunks, min_samples
        self._kept = -(-(chunks.behind_samples + min_samples) // chunks.hop_samples) + 1
        self._samples = np.zeros(0, np.float32)
        self._first, self._num_given, self._num_samples = 0, 0, 0

    def accept(self, samples: np.ndarray) -> Optional[np.ndarray]:
        """Take the next samples (S,); the frames that are certain now, None where there is none."""
        hop = self._chunks.hop_samples
        self._samples = np.concatenate([self._samples, samples])
        self._num_samples += len(samples)
        certain = max(0, self._num_samples - self._chunks.ahead_samples) // hop
        if certain <= self._num_given or len(self._samples) < self._min_samples:
            return None
        begin = self._num_given - self._first
        frames = self._compute(self._samples)[begin : begin + certain - self._num_given]
        self._num_given += len(frames)
        first = max(self._first, self._num_given - self._kept)
        self._samples = self._samples[(first - self._first) * hop :]
        self._first = first
        return frames

    def finish(self) -> Optional[np.ndarray]:
        """The frames that waited for audio which does not come any more; None where there is none."""
        if len(self._samples) < self._min_samples:
            return None
        return self._compute(self._samples)[self._num_given - self._first :]


class _Search(Protocol):
    """A search that goes on."""

    def advance(self, encoder_out: np.ndarray) -> None:
        """Take the next frames (T', J), or (T', V) of the CTC head."""

    def best(self) -> Found:
        """What was found so far."""


class _Greedy:
    def __init__(self, heads: Heads) -> None:
        self._heads, self._found = heads, NOTHING

    def advance(self, encoder_out: np.ndarray) -> None:
        self._found = greedy_search(self._heads, encoder_out, begun=self._found)

    def best(self) -> Found:
        return self._found


class _ModifiedBeam:
    def __init__(self, heads: Heads, beam_size: int) -> None:
        self._heads, self._beam_size, self._scores = heads, beam_size, {heads.start(): 0.0}

    def advance(self, encoder_out: np.ndarray) -> None:
        self._scores = extended(self._scores, self._heads, encoder_out, self._beam_size)

    def best(self) -> Found:
        return ranked(self._heads, self._scores)[0]


class _CtcGreedy:
    def __init__(self, units: UnitScores) -> None:
        self._units, self._score = units, 0.0
        self._path: List[int] = []

    def advance(self, encoder_out: np.ndarray) -> None:
        log_probs = self._units.of(encoder_out)
        self._path += log_probs.argmax(axis=1).tolist()
        self._score += float(log_probs.max(axis=1).sum())

    def best(self) -> Found:
        return Found(without_blanks(self._path), self._score)


class StreamingRecogniser(ExportedNetworks):
    """Recognises audio while it comes, as `icefall-discrete transcribe --streaming` without endpoints.

    Args:
      As ExportedNetworks.
    Raises:
      FileNotFoundError, ValueError: as ExportedNetworks; ValueError if the encoder is one of whole utterances.
    """

    def __init__(
        self, folder: Union[str, Path], method: Optional[str] = None, int8: bool = False, num_threads: int = 1
    ) -> None:
        super().__init__(Path(folder), method, int8, num_threads)
        if not self._model.streaming:
            raise ValueError(
                f"{folder} holds an encoder of whole utterances; recognise without --streaming, or export a causal "
                "model with --to onnx --streaming 1."
            )
        if not self.chunks.go_on:
            raise ValueError(
                f"{self.folder / MODEL_FILE}: {self.chunks.chunk_size} frames a chunk, {self.chunks.window_frames} a "
                f"window and {self.chunks.hop_samples} samples a frame are no division of a stream; {AGAIN}."
            )

    def open(self, name: str = "audio") -> "Stream":
        """A stream before its first sample; `name` is what errors call it."""
        return Stream(self, name)

    @property
    def chunks(self) -> Chunks:
        """How streams are divided."""
        return self._model.chunks

    def frames_as_they_come(self) -> FramesAsTheyCome:
        """The tokenizer, for one stream."""

        def frames(samples: np.ndarray) -> np.ndarray:
            return self._run(TOKENIZER, {"samples": np.ascontiguousarray(samples, dtype=np.float32)})[0]

        return FramesAsTheyCome(frames, self.chunks, self._model.min_samples)

    def new_search(self) -> _Search:
        """The search, for one stream."""
        if self._main_head == "ctc":
            return _CtcGreedy(self._units(False))
        if self.method == "greedy_search":
            return _Greedy(self._heads(False))
        return _ModifiedBeam(self._heads(True), self._model.beam_size)

    @property
    def _encoder(self) -> str:
        return CTC if self._main_head == "ctc" else ENCODER

    def initial_states(self) -> List[np.ndarray]:
        """What the encoder remembers before the first chunk of one stream, in the order of its inputs."""
        wanted = [one for one in self._sessions[self._encoder].get_inputs()[1:] if one.name != NUM_FRAMES]
        shapes = [[size if isinstance(size, int) else 1 for size in one.shape] for one in wanted]
        if sum(map(math.prod, shapes)) > _MOST_STATES or any(one.type not in _TYPES for one in wanted):
            raise ValueError(f"{self.folder / self._encoder}.onnx asks for states that no encoder has; {AGAIN}.")
        return [np.zeros(shape, _TYPES[one.type]) for shape, one in zip(shapes, wanted)]

    def encode(self, window: np.ndarray, num_frames: int, states: List[np.ndarray]) -> List[np.ndarray]:
        """Encoder frames (T', J or V) of a window (T, K or D), then the states after it.

        num_frames: those behind the front end that are before the end of the stream.
        """
        names = [one.name for one in self._sessions[self._encoder].get_inputs()]
        inputs = [window[None], np.array([num_frames]), *states]
        out, *after = self._run(self._encoder, dict(zip(names, inputs)))
        return [out[0], *after]

    def padding(self, num: int) -> np.ndarray:
        """Frames (T, K or D) that stand outside of a stream."""
        if self.spec.kind == "codes":
            return np.tile(np.array(self.spec.pad_ids, dtype=np.int64), (num, 1))
        return np.zeros((num, self.spec.feature_dim), np.float32)

    def text_of(self, found: Found) -> str:
        """The text of labels."""
        return plain_spaces(self._text_encoder.decode(found.labels))


class Stream:
    """One stream of audio; `StreamingRecogniser.open` makes it."""

    def __init__(self, recogniser: StreamingRecogniser, name: str) -> None:
        self._recogniser, self._name, self._chunks = recogniser, name, recogniser.chunks
        self._frames, self._search = recogniser.frames_as_they_come(), recogniser.new_search()
        self._states, self._waiting = recogniser.initial_states(), recogniser.padding(self._chunks.lead_frames)
        self._num_frames, self._num_searched = 0, 0
        self._is_over = False

    @property
    def num_frames(self) -> int:
        """Encoder frames that were searched so far."""
        return self._num_searched

    @property
    def text(self) -> str:
        """What was found so far."""
        return self._recogniser.text_of(self._search.best())

    def accept(self, samples: np.ndarray) -> str:
        """Take the next samples (S,) float32 in [-1, 1] at the rate of `spec`; the text so far.

        Raises:
          ValueError: after the end, and for samples that are not finite.
        """
        if self._is_over:
            raise ValueError(f"{self._name}: samples came after the end of the stream; open a new one.")
        if not np.isfinite(samples).all():
            raise ValueError(f"{self._name}: has samples that are not finite.")
        self._push(self._frames.accept(samples))
        window = self._chunks.window_frames
        while len(self._waiting) >= window:
            self._advance(window, self._chunks.chunk_size)
        return self.text

    def finish(self) -> str:
        """Say that no samples follow; the whole text."""
        if not self._is_over:
            self._is_over = True
            self._push(self._frames.finish())
            self._finish_chunks()
        return self.text

    def _push(self, frames: Optional[np.ndarray]) -> None:
        if frames is not None:
            self._waiting = np.concatenate([self._waiting, frames.astype(self._waiting.dtype)])
            self._num_frames += len(frames)

    def _finish_chunks(self) -> None:
        """Search the chunks up to the end, whose windows are filled up."""
        chunks = self._chunks
        front = max(0, self._num_frames + chunks.edge_frames) // chunks.front_end_stride
        num_left = front - self._num_searched * chunks.encoder_stride
        while num_left > 0:
            missing = max(0, chunks.window_frames - len(self._waiting))
            self._waiting = np.concatenate([self._waiting, self._recogniser.padding(missing)])
            self._advance(num_left, min(chunks.chunk_size, num_left))
            num_left -= chunks.chunk_size

    def _advance(self, num_there: int, num_wanted: int) -> None:
        """Search the next chunk, of `num_wanted` frames behind the front end, `num_there` before the stream's end."""
        chunks, window = self._chunks, self._waiting[: self._chunks.window_frames]
        out, *self._states = self._recogniser.encode(window, num_there, self._states)
        self._waiting = self._waiting[chunks.chunk_size * chunks.front_end_stride :]
        out = out[: -(-num_wanted // chunks.encoder_stride)]
        self._search.advance(out)
        self._num_searched += len(out)
