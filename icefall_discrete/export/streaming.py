"""The encoder of a causal Zipformer for streams: chunks and states in, as icefall names and shapes them.

Letters: N streams, T frames of a window, T' encoder frames, L frames of left context at the rate of a stack, D
channels.
"""

from typing import Callable, Dict, List, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.export.parts import MODEL_TYPE, Part, input_example, metadata_of, transducer_heads
from icefall_discrete.nn.encoders.zipformer.config import ZipformerConfig
from icefall_discrete.nn.encoders.zipformer.state import EncoderState, LayerState
from icefall_discrete.nn.heads.contract import has_ctc, has_transducer, require_ctc, require_transducer
from icefall_discrete.nn.stream_state import Past
from icefall_discrete.onnx.folder import CTC, ENCODER
from icefall_discrete.systems.asr.streaming_model import StreamingConfig, StreamingEncoder, StreamState
from icefall_discrete.systems.asr.transducer import Transducer

PROCESSED, FRONT_END = "processed_lens", "embed_states"
# Chunks that streams of an example have had.
_CHUNKS_BEFORE = 3


class _Cached(NamedTuple):
    """A state of a layer: icefall's name, ours, the axis of streams there, and the ways from ours and to it."""

    name: str
    ours: str
    stream_axis: int
    theirs: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]


def _frames_first(x: Tensor) -> Tensor:
    return x.transpose(0, 1)


def _frames_last(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def _channels_second(x: Tensor) -> Tensor:
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1))


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, *range(2, x.dim()), 1)


# (N, L, D) is (L, N, D) there, (1, N, L, D) for the gated values, and (N, D, L) for inputs of convolutions.
_OF_LAYER = (
    _Cached("cached_key", "keys", 1, _frames_first, _frames_first),
    _Cached("cached_nonlin_attn", "gated_values", 1, lambda x: x.unsqueeze(0), lambda x: x.squeeze(0)),
    _Cached("cached_val1", "values1", 1, _frames_first, _frames_first),
    _Cached("cached_val2", "values2", 1, _frames_first, _frames_first),
    _Cached("cached_conv1", "conv1", 0, _frames_last, _frames_last),
    _Cached("cached_conv2", "conv2", 0, _frames_last, _frames_last),
)


def to_named(state: StreamState) -> Dict[str, Tensor]:
    """The tensors of a state by icefall's names, in their order."""
    encoder = state.encoder
    assert isinstance(encoder, EncoderState)
    named: Dict[str, Tensor] = {}
    for index, layer in enumerate(layer for stack in encoder.stacks for layer in stack):
        named.update({f"{one.name}_{index}": one.theirs(getattr(layer, one.ours).frames) for one in _OF_LAYER})
    named[FRONT_END] = _channels_second(state.front_end.frames)
    named[PROCESSED] = encoder.processed
    return named


def from_named(named: Dict[str, Tensor], like: StreamState) -> StreamState:
    """The inverse of `to_named`; `like` has the same form."""
    encoder = like.encoder
    assert isinstance(encoder, EncoderState)
    stacks: List[Tuple[LayerState, ...]] = []
    index = 0
    for stack in encoder.stacks:
        layers = []
        for _ in stack:
            pasts = {one.ours: Past(one.back(named[f"{one.name}_{index}"])) for one in _OF_LAYER}
            layers.append(LayerState(**pasts))
            index += 1
        stacks.append(tuple(layers))
    return StreamState(Past(_channels_last(named[FRONT_END])), EncoderState(tuple(stacks), named[PROCESSED]))


class ChunkEncoder(nn.Module):
    """A window and states to what a head makes of the encoder frames of a chunk, and the states after it."""

    def __init__(self, model: Transducer, streaming: StreamingEncoder, head: nn.Module, gives_log_probs: bool) -> None:
        super().__init__()
        self.model, self.head, self.gives_log_probs = model, head, gives_log_probs
        self.streaming = streaming
        self.form = streaming.initial_state(1)
        self.names = list(to_named(self.form))

    def forward(self, x: Tensor, *states: Tensor) -> Tuple[Tensor, ...]:
        """Map x (N, T, K) or (N, T, D) and states to (N, T', J or V) and states."""
        before = from_named(dict(zip(self.names, states)), self.form)
        out, after = self.streaming.full_chunk(x, before)
        out = self.head(out)
        return (out.log_softmax(dim=2) if self.gives_log_probs else out, *to_named(after).values())


def _metadata(model: Transducer, streaming: StreamingEncoder, num_frames: int) -> Dict[str, str]:
    config = model.config.encoder
    assert isinstance(config, ZipformerConfig)
    left = streaming.encoder.initial_state(1).stacks

    def listed(numbers: Tuple[int, ...]) -> str:
        return ",".join(map(str, numbers))

    return {
        "T": str(num_frames),
        "decode_chunk_len": str(streaming.chunk_size * model.config.front_end.stride),
        "num_encoder_layers": listed(config.stack_values("num_encoder_layers")),
        "encoder_dims": listed(config.stack_values("encoder_dim")),
        "cnn_module_kernels": listed(config.stack_values("cnn_module_kernel")),
        "left_context_len": listed(tuple(layers[0].left_context for layers in left)),
        "query_head_dims": listed(config.stack_values("query_head_dim")),
        "value_head_dims": listed(config.stack_values("value_head_dim")),
        "num_heads": listed(config.stack_values("num_heads")),
    }


def _chunk_part(name: str, encoder: ChunkEncoder, spec: FeatureSpec, out: str, metadata: Dict[str, str]) -> Part:
    streaming = encoder.streaming
    num_frames = streaming.model.front_end.window.num_frames(streaming.chunk_size)

    def example(num: int, frames: int) -> Dict[str, Tensor]:
        states = to_named(streaming.initial_state(num))
        drawn = {key: torch.randn(value.shape) for key, value in states.items() if key != PROCESSED}
        seen = torch.tensor([streaming.chunk_size * (_CHUNKS_BEFORE - row % 2) for row in range(num)])
        return {"x": input_example(spec, num, num_frames), **drawn, PROCESSED: seen}

    axes = {f"{one.name}_": {one.stream_axis: "N"} for one in _OF_LAYER}
    open_axes: Dict[str, Dict[int, str]] = {"x": {0: "N"}, out: {0: "N"}}
    for state in encoder.names:
        named = axes.get(state.rstrip("0123456789"), {0: "N"})
        open_axes.update({state: named, f"new_{state}": named})
    outputs = (out, *(f"new_{state}" for state in encoder.names))
    return Part(name, encoder, example, outputs, open_axes, metadata)


def streaming_parts(model: Transducer, spec: FeatureSpec, config: StreamingConfig) -> List[Part]:
    """The parts of a recogniser of streams: encoder, predictor and joiner; encoder with CTC head.

    Raises:
      ValueError: if the model cannot stream, its encoder is no Zipformer, or its frames are repeated to another rate.
    """
    if not isinstance(model.config.encoder, ZipformerConfig):
        raise ValueError("only the Zipformer is exported for streams; export this model for whole utterances.")
    if model.rate_ratio != 1:
        raise ValueError("a model with input_frame_rate_hz is not exported for streams; export it for utterances.")
    streaming = StreamingEncoder(model, config)
    num_frames = model.front_end.window.num_frames(config.chunk_size)
    said = _metadata(model, streaming, num_frames)
    comment = f"chunks of {config.chunk_size} frames, {spec.name}"
    parts: List[Part] = []
    if has_transducer(model):
        heads = require_transducer(model, "an export")
        encoder = ChunkEncoder(model, streaming, heads.joiner.encoder_proj, False)
        metadata = {**metadata_of(MODEL_TYPE, comment), **said}
        parts += [_chunk_part(ENCODER, encoder, spec, "encoder_out", metadata), *transducer_heads(heads)]
    if has_ctc(model):
        encoder = ChunkEncoder(model, streaming, require_ctc(model, "an export").ctc_output, True)
        # sherpa-onnx's name for streams is that of the architecture alone.
        metadata = {**metadata_of(MODEL_TYPE, comment), **said}
        parts.append(_chunk_part(CTC, encoder, spec, "log_probs", metadata))
    return parts
