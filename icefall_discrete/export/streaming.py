"""A causal encoder for streams: chunks and states in, as icefall names and shapes those of its Zipformer.

Encoders of equal layers (conformer and its like) have names in the same manner: keys, values, and what their
convolutions read.

Letters: N streams, T frames of a window, T' encoder frames, L frames of left context at the rate of a stack, D
channels.
"""

import itertools
from typing import Callable, Dict, Iterable, List, NamedTuple, Tuple, Union, cast

import torch
from torch import Tensor, nn

from icefall_discrete.base.settings import to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.export.parts import MODEL_TYPE, Part, input_example, metadata_of, transducer_heads
from icefall_discrete.nn.attention.context import LayerPast
from icefall_discrete.nn.attention.streaming import LayersState
from icefall_discrete.nn.encoders.zipformer.config import ZipformerConfig
from icefall_discrete.nn.encoders.zipformer.state import EncoderState, LayerState
from icefall_discrete.nn.heads.contract import has_ctc, has_transducer, require_ctc, require_transducer
from icefall_discrete.nn.stream_state import Past
from icefall_discrete.onnx.folder import CTC, ENCODER, NUM_FRAMES, Chunks
from icefall_discrete.systems.asr.streaming_model import StreamingConfig, StreamingEncoder, StreamState
from icefall_discrete.systems.asr.transducer import Transducer

PROCESSED, FRONT_END = "processed_lens", "embed_states"
# Chunks that streams of an example have had.
_CHUNKS_BEFORE = 3
_MANY = 8


class _Cached(NamedTuple):
    """A state of a layer: its name in files, the axis of streams there, and the ways from ours and to it."""

    name: str
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
_KEYS = _Cached("cached_key", 1, _frames_first, _frames_first)
_OF_ZIPFORMER = {
    "keys": _KEYS,
    "gated_values": _Cached("cached_nonlin_attn", 1, lambda x: x.unsqueeze(0), lambda x: x.squeeze(0)),
    "values1": _Cached("cached_val1", 1, _frames_first, _frames_first),
    "values2": _Cached("cached_val2", 1, _frames_first, _frames_first),
    "conv1": _Cached("cached_conv1", 0, _frames_last, _frames_last),
    "conv2": _Cached("cached_conv2", 0, _frames_last, _frames_last),
}
_VALUES = _Cached("cached_val", 1, _frames_first, _frames_first)
Layer = Union[LayerState, LayerPast]


def _convolution(number: int) -> _Cached:
    return _Cached(f"cached_conv{number}", 0, _frames_last, _frames_last)


def _cached(layer: Layer) -> List[Tuple[_Cached, Past]]:
    """What a layer remembers, in the order of its file's inputs."""
    if isinstance(layer, LayerState):
        return [(one, getattr(layer, ours)) for ours, one in _OF_ZIPFORMER.items()]
    convolutions = [(_convolution(number), past) for number, past in enumerate(layer.convolutions, start=1)]
    return [(_KEYS, layer.keys), (_VALUES, layer.values), *convolutions]


def _layer_of(pasts: List[Past], like: Layer) -> Layer:
    """The inverse of `_cached`, of what is remembered alone."""
    if isinstance(like, LayerState):
        return LayerState(**dict(zip(_OF_ZIPFORMER, pasts)))
    return LayerPast(pasts[0], pasts[1], tuple(pasts[2:]))


def _groups(state: StreamState) -> Tuple[Tuple[Layer, ...], ...]:
    """The layers of the encoder, stack by stack; those of equal layers are one stack."""
    encoder = state.encoder
    assert isinstance(encoder, (EncoderState, LayersState))
    if isinstance(encoder, EncoderState):
        return encoder.stacks
    return (encoder.layers,)


def stream_axes(state: StreamState) -> Dict[str, int]:
    """The names of the tensors of a state, in their order, and which axis of each is that of streams."""
    layers = [layer for group in _groups(state) for layer in group]
    axes = {f"{one.name}_{index}": one.stream_axis for index, layer in enumerate(layers) for one, _ in _cached(layer)}
    return {**axes, FRONT_END: 0, PROCESSED: 0}


def to_named(state: StreamState) -> Dict[str, Tensor]:
    """The tensors of a state by their names in files, in their order."""
    encoder = state.encoder
    assert isinstance(encoder, (EncoderState, LayersState))
    named: Dict[str, Tensor] = {}
    for index, layer in enumerate(layer for group in _groups(state) for layer in group):
        named.update({f"{one.name}_{index}": one.theirs(past.frames) for one, past in _cached(layer)})
    named[FRONT_END] = _channels_second(state.front_end.frames)
    named[PROCESSED] = encoder.processed
    return named


def from_named(named: Dict[str, Tensor], like: StreamState) -> StreamState:
    """The inverse of `to_named`; `like` has the same form."""
    groups: List[Tuple[Layer, ...]] = []
    index = 0
    for group in _groups(like):
        layers = []
        for layer in group:
            pasts = [Past(one.back(named[f"{one.name}_{index}"])) for one, _ in _cached(layer)]
            layers.append(_layer_of(pasts, layer))
            index += 1
        groups.append(tuple(layers))
    encoder: object = LayersState(cast(Tuple[LayerPast, ...], groups[0]), named[PROCESSED])
    if isinstance(like.encoder, EncoderState):
        encoder = EncoderState(cast(Tuple[Tuple[LayerState, ...], ...], tuple(groups)), named[PROCESSED])
    return StreamState(Past(_channels_last(named[FRONT_END])), encoder)


class ChunkEncoder(nn.Module):
    """A window and states to what a head makes of the encoder frames of a chunk, and the states after it.

    Args:
      asks_ends: whether it takes the number of front end frames before the end of a stream as well, so that the last
        chunk is what it is in PyTorch; sherpa-onnx knows no such thing, and fills it with silence.
    """

    def __init__(
        self,
        model: Transducer,
        streaming: StreamingEncoder,
        head: nn.Module,
        gives_log_probs: bool,
        asks_ends: bool,
    ) -> None:
        super().__init__()
        self.asks_ends = asks_ends
        self.model, self.head, self.gives_log_probs = model, head, gives_log_probs
        self.streaming = streaming
        self.form = streaming.initial_state(1)
        self.names = list(to_named(self.form))

    def forward(self, x: Tensor, *others: Tensor) -> Tuple[Tensor, ...]:
        """Map x (N, T, K) or (N, T, D), frames (N,) where ends are asked, and states to (N, T', J or V) and states."""
        before = from_named(dict(zip(self.names, others[-len(self.names) :])), self.form)
        if self.asks_ends:
            out, _, after = self.streaming(x, others[0], before)
        else:
            out, after = self.streaming.full_chunk(x, before)
        out = self.head(out)
        return (out.log_softmax(dim=2) if self.gives_log_probs else out, *to_named(after).values())


def _metadata(model: Transducer, streaming: StreamingEncoder, spec: FeatureSpec) -> Dict[str, str]:
    """What runtimes read of an encoder of streams; of a Zipformer what icefall says of it."""
    config, groups = model.config.encoder, _groups(streaming.initial_state(1))
    said = {
        # For streams, sherpa-onnx's name is that of the architecture alone, whatever the head is.
        **metadata_of(MODEL_TYPE, f"chunks of {streaming.chunk_size} frames, {spec.name}"),
        "T": str(model.front_end.window.num_frames(streaming.chunk_size)),
        "decode_chunk_len": str(streaming.chunk_size * model.config.front_end.stride),
    }

    def listed(numbers: Iterable[int]) -> str:
        return ",".join(map(str, numbers))

    if not isinstance(config, ZipformerConfig):
        left = (_cached(layers[0])[0][1].frames.shape[1] for layers in groups)
        kind = to_dict(model.config)["encoder"]["kind"]
        return {**said, "model_type": f"streaming_{kind}", "left_context_len": listed(left)}
    return {
        **said,
        "num_encoder_layers": listed(config.stack_values("num_encoder_layers")),
        "encoder_dims": listed(config.stack_values("encoder_dim")),
        "cnn_module_kernels": listed(config.stack_values("cnn_module_kernel")),
        "left_context_len": listed(_cached(layers[0])[0][1].frames.shape[1] for layers in groups),
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
        there = streaming.chunk_size + streaming.model.front_end.window.reach - torch.arange(num) % streaming.chunk_size
        ends = {NUM_FRAMES: there} if encoder.asks_ends else {}
        return {"x": input_example(spec, num, num_frames), **ends, **drawn, PROCESSED: seen}

    open_axes: Dict[str, Dict[int, str]] = {"x": {0: "N"}, out: {0: "N"}}
    if encoder.asks_ends:
        open_axes[NUM_FRAMES] = {0: "N"}
    for state, axis in stream_axes(encoder.form).items():
        open_axes.update({state: {axis: "N"}, f"new_{state}": {axis: "N"}})
    outputs = (out, *(f"new_{state}" for state in encoder.names))
    return Part(name, encoder, example, outputs, open_axes, metadata)


def chunks_of(model: Transducer, config: StreamingConfig) -> Chunks:
    """How a stream of frames is divided for the encoder of `streaming_parts`."""
    window, frames_out = model.front_end.window, model.config.front_end.frames_out
    # Frames that give as many behind the front end as any number above 0, here 8.
    least = next(count for count in itertools.count(1) if frames_out(count) >= _MANY)
    return Chunks(
        chunk_size=config.chunk_size,
        window_frames=window.num_frames(config.chunk_size),
        lead_frames=window.lead,
        front_end_stride=window.stride,
        edge_frames=_MANY * window.stride - least,
        encoder_stride=model.config.encoder.stride,
    )


def streaming_parts(
    model: Transducer, spec: FeatureSpec, config: StreamingConfig, asks_ends: bool = True
) -> List[Part]:
    """The parts of a recogniser of streams: encoder, predictor and joiner; encoder with CTC head.

    asks_ends: as ChunkEncoder.
    Raises:
      ValueError: if the model cannot stream, or its frames are repeated to another rate.
    """
    if model.rate_ratio != 1:
        raise ValueError("a model with input_frame_rate_hz is not exported for streams; export it for utterances.")
    streaming = StreamingEncoder(model, config)
    said = _metadata(model, streaming, spec)
    parts: List[Part] = []
    if has_transducer(model):
        heads = require_transducer(model, "an export")
        encoder = ChunkEncoder(model, streaming, heads.joiner.encoder_proj, False, asks_ends)
        parts += [_chunk_part(ENCODER, encoder, spec, "encoder_out", said), *transducer_heads(heads)]
    if has_ctc(model):
        encoder = ChunkEncoder(model, streaming, require_ctc(model, "an export").ctc_output, True, asks_ends)
        parts.append(_chunk_part(CTC, encoder, spec, "log_probs", said))
    return parts
