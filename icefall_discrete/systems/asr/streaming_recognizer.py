"""Recognition while the frames come: many streams, each at its own place, one batch a step.

A whole example stands in nn/README.md. In short:

recognizer = StreamingRecognizer(model, spec, StreamingConfig(chunk_size=16, left_context_frames=128), DecodeConfig())
stream = recognizer.open()
stream.push(codes)            # (T, K) as they come; features are (T, D)
recognizer.step([stream])     # one chunk of every stream that has one
recognizer.hypothesis(stream).labels
"""

from typing import Optional, Sequence

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import padding_values
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.modified_beam import BeamConfig
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.decoding.streaming_search import (
    ScorerOfStream,
    StreamingCtcGreedy,
    StreamingGreedy,
    StreamingModifiedBeam,
    StreamSearch,
)
from icefall_discrete.nn.heads.contract import require_ctc, require_transducer
from icefall_discrete.nn.stream_state import split_state, stack_states
from icefall_discrete.systems.asr.streaming_model import FrameBuffer, StreamingConfig, StreamingEncoder
from icefall_discrete.systems.asr.transducer import Transducer


class RecognitionStream:
    """One stream: frames that wait, the encoder's past, and what was found. `StreamingRecognizer.open` makes it."""

    def __init__(self, name: str, buffer: FrameBuffer, encoder: StreamingEncoder, search: StreamSearch) -> None:
        self.name, self.buffer = name, buffer
        self.encoder_state = encoder.initial_state(1)
        self.search_state = search.open(name)

    def push(self, frames: Tensor) -> None:
        """Add codes (T, K) int64 or features (T, D) float32 at the feature type's own rate."""
        self.buffer.push(frames)

    def finish(self) -> None:
        """Say that no frame follows, so that the last ones are not waited for."""
        self.buffer.finish()

    @property
    def is_ready(self) -> bool:
        """Whether a chunk can be recognised now."""
        return self.buffer.is_ready

    @property
    def is_done(self) -> bool:
        """Whether the stream is finished and all of it recognised."""
        return self.buffer.is_done


class StreamingRecognizer:
    """A causal recogniser with greedy or modified beam search of the transducer, or greedy search of CTC, over streams.

    What is found equals the search over the encoder output of the whole utterance with the same chunks.

    Args:
      model: trained with causal; it is put into evaluation mode. spec: of the codes or features.
      streaming: chunk size and left context.
      decode: greedy_search, modified_beam_search or ctc_greedy_search, and its settings.
      scorer_of: what its language models and phrases add to the scores of a stream, by its name; None: nothing.
    """

    def __init__(
        self,
        model: Transducer,
        spec: FeatureSpec,
        streaming: StreamingConfig,
        decode: DecodeConfig,
        scorer_of: Optional[ScorerOfStream] = None,
    ) -> None:
        self._search = _search_of(model, decode, scorer_of)
        self._encoder = StreamingEncoder(model, streaming)
        self._device = next(model.parameters()).device
        self._padding = padding_values(spec)
        self._dtype = torch.int64 if spec.kind == "codes" else torch.float32

    def open(self, name: str = "") -> RecognitionStream:
        """A stream before its first frame; phrases may be there for its name alone."""
        buffer = FrameBuffer(self._encoder, self._padding, self._dtype)
        return RecognitionStream(name, buffer, self._encoder, self._search)

    def step(self, streams: Sequence[RecognitionStream]) -> int:
        """Recognise one chunk of each stream that has one, in one batch; returns how many had."""
        ready = [stream for stream in streams if stream.is_ready]
        if not ready:
            return 0
        taken = [stream.buffer.next_window() for stream in ready]
        state = stack_states([stream.encoder_state for stream in ready])
        windows = torch.stack([window for window, _ in taken]).to(self._device)
        num_frames = torch.tensor([num for _, num in taken])
        encoder_out, lens, state = self._encoder(windows, num_frames, state)
        self._search.advance(encoder_out, lens.tolist(), [stream.search_state for stream in ready])
        for stream, own_state in zip(ready, split_state(state, len(ready))):
            stream.encoder_state = own_state
        return len(ready)

    def hypothesis(self, stream: RecognitionStream) -> Hypothesis:
        """What was found in a stream so far; timestamps in encoder frames from its start, or the last restart."""
        return self._search.best(stream.search_state)

    def num_searched(self, stream: RecognitionStream) -> int:
        """Encoder frames that were searched since the start of a stream, or its last restart."""
        return stream.search_state.num_frames

    def restart(self, stream: RecognitionStream, forget: bool) -> None:
        """Begin another utterance in a stream: nothing is found yet. forget: the encoder's past is dropped too."""
        stream.search_state = self._search.open(stream.name)
        if forget:
            stream.encoder_state = self._encoder.initial_state(1)


def _search_of(model: Transducer, decode: DecodeConfig, scorer_of: Optional[ScorerOfStream]) -> StreamSearch:
    method = decode.decoding_method
    if decode.is_used and scorer_of is None:
        raise ValueError("settings name a language model or phrases, but nothing that gives their scores was passed.")
    if scorer_of is not None and method != "modified_beam_search":
        raise ValueError(
            f"{method} of streams takes no language model and no phrases; use modified_beam_search, or leave lm, lodr "
            "and context_file empty."
        )
    if decode.nbest > 1:
        raise ValueError(f"nbest is {decode.nbest}; a stream has one hypothesis: leave nbest 1.")
    if method == "greedy_search":
        if decode.max_sym_per_frame != 1:
            raise ValueError(
                f"max_sym_per_frame is {decode.max_sym_per_frame}; streaming emits at most 1 label a frame."
            )
        return StreamingGreedy(require_transducer(model, method), decode.blank_penalty, decode.emit_unk)
    if method == "modified_beam_search":
        beam = BeamConfig(decode.beam_size, decode.blank_penalty, decode.temperature, emit_unk=decode.emit_unk)
        return StreamingModifiedBeam(require_transducer(model, method), beam, scorer_of)
    if method == "ctc_greedy_search":
        return StreamingCtcGreedy(require_ctc(model, method), decode.blank_penalty, decode.emit_unk)
    raise ValueError(
        f"decoding_method is '{method}'; known for streams: greedy_search, modified_beam_search, ctc_greedy_search."
    )
