"""Streaming: chunk by chunk equals the whole utterance with the same masks."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_settings import changed, model_config

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.encoders.zipformer import Zipformer, ZipformerConfig
from icefall_discrete.nn.encoders.zipformer.streaming import StreamingZipformer
from icefall_discrete.nn.loading import load_strictly
from icefall_discrete.nn.stream_state import copy_state, split_state, stack_states
from icefall_discrete.systems.asr.icefall_names import from_icefall, inferred_settings
from icefall_discrete.systems.asr.streaming_model import FrameBuffer, StreamingConfig, StreamingEncoder
from icefall_discrete.systems.asr.transducer import build_transducer

CODES = FeatureSpec("toy", "codes", 16000, 50.0, 2, (10, 12), 0)
FBANK = FeatureSpec("toy_fbank", "continuous", 16000, 100.0, 0, (), 20)
BASE = model_config(
    downsampling_factor=(1, 2, 4, 2),
    encoder_dim=(16, 24, 32, 20),
    num_encoder_layers=(1, 2, 1, 1),
    encoder_unmasked_dim=(16,),
    num_heads=(2, 2, 4, 2),
    query_head_dim=(6,),
    value_head_dim=(5,),
    feedforward_dim=(32,),
    cnn_module_kernel=(7, 7, 5, 7),
    pos_dim=8,
    causal=True,
    front_end="conv1d",
    embedding_dim=14,
    decoder_dim=12,
    joiner_dim=10,
)
ONE_RATE = {
    "downsampling_factor": (1, 1),
    "encoder_dim": (24, 16),
    "num_encoder_layers": (1,),
    "num_heads": (2,),
    "cnn_module_kernel": (5,),
    "output_downsampling_factor": 1,
}


LAYERS = {"dim": 24, "num_layers": 2, "num_heads": 2, "feedforward_dim": 32, "causal": True}
CONFORMER = {"encoder": {"kind": "conformer", **LAYERS, "cnn_module_kernel": 7}}
E_BRANCHFORMER = {
    "encoder": {"kind": "e_branchformer", **LAYERS, "cgmlp_dim": 32, "cgmlp_kernel": 7, "merge_kernel": 5}
}
TRANSFORMER = {"encoder": {"kind": "transformer", **LAYERS}}


def model_of(spec=CODES, **changes):
    torch.manual_seed(0)
    model = build_transducer(changed(BASE, **changes), spec, 15, AugmentConfig()).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Parameters that start at zero, or so small that their module does nothing, would prove nothing.
            if "edge_scale" in name or "downsample" in name:
                parameter.normal_()
            elif "encoder.stacks" in name and "norm" not in name:
                parameter.mul_(2.0)
    return model


def frames_of(spec, num_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if spec.kind == "codes":
        return torch.stack(
            [torch.randint(0, size, (num_frames,), generator=generator) for size in spec.codebook_sizes], dim=1
        )
    return torch.randn(num_frames, spec.feature_dim, generator=generator)


def padding_of(spec):
    return spec.pad_ids if spec.kind == "codes" else (0.0,) * spec.feature_dim


@torch.no_grad()
def whole(model, frames, chunk_size, left):
    """The masked forward of one whole utterance."""
    own = model.encoder.config
    model.encoder.config = dataclasses.replace(own, chunk_size=(chunk_size,), left_context_frames=(left,))
    encoded = model.encode(frames.unsqueeze(0), torch.tensor([len(frames)]))
    model.encoder.config = own
    return encoded.encoder_out[0]


def pieces(frames, sizes):
    """Cut frames into pieces of the given sizes, again and again."""
    start, index = 0, 0
    while start < len(frames):
        yield frames[start : start + sizes[index % len(sizes)]]
        start += sizes[index % len(sizes)]
        index += 1


def streamed(model, frames, spec, chunk_size, left):
    encoder = StreamingEncoder(model, StreamingConfig(chunk_size, left))
    buffer = FrameBuffer(encoder, padding_of(spec), frames.dtype)
    state, out = encoder.initial_state(1), []

    def advance():
        nonlocal state
        while buffer.is_ready:
            window, num_frames = buffer.next_window()
            x, lens, state = encoder(window.unsqueeze(0), torch.tensor([num_frames]), state)
            out.append(x[0, : int(lens[0])])

    for piece in pieces(frames, (1, 13, 4)):
        buffer.push(piece)
        advance()
    buffer.finish()
    advance()
    assert buffer.is_done
    return torch.cat(out)


def assert_same(mine, expected):
    assert mine.shape == expected.shape
    scale = expected.abs().max()
    torch.testing.assert_close(mine / scale, expected / scale, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(
    "spec,changes,chunk_size,left",
    [
        (CODES, {}, 4, 8),
        (CODES, {}, 8, 24),
        (CODES, {}, 16, 16),
        (CODES, {"front_end_stride": 1}, 8, 16),
        (CODES, {"front_end_stride": 4}, 4, 12),
        (CODES, ONE_RATE, 3, 7),
        (CODES, {**ONE_RATE, "output_downsampling_factor": 3}, 6, 6),
        (CODES, {"front_end": "conv2d"}, 8, 16),
        (CODES, {"front_end": "conv2d", "input_frame_rate_hz": 100.0}, 8, 16),
        (CODES, {"input_frame_rate_hz": 75.0}, 4, 8),
        (CODES, {"input_frame_rate_hz": 20.0, "front_end_stride": 1}, 4, 8),
        (FBANK, {}, 8, 16),
        (FBANK, {"front_end": "conv2d"}, 16, 32),
        (CODES, CONFORMER, 8, 16),
        (CODES, {**E_BRANCHFORMER, "front_end": {"kind": "espnet_conv1d", "stride": 3}}, 3, 7),
        (FBANK, {**TRANSFORMER, "front_end": "conv2d"}, 4, 8),
    ],
)
def test_chunk_by_chunk_equals_the_masked_whole_utterance(spec, changes, chunk_size, left):
    model = model_of(spec, **changes)
    for num_frames in (150, 97):
        frames = frames_of(spec, num_frames)
        assert_same(streamed(model, frames, spec, chunk_size, left), whole(model, frames, chunk_size, left))


@pytest.mark.parametrize("front_end", ["conv1d", "conv2d"])
def test_streams_of_every_length_end_as_the_whole_utterance_does(front_end):
    model = model_of(front_end=front_end)
    for num_frames in range(9, 45):
        frames = frames_of(CODES, num_frames)
        assert_same(streamed(model, frames, CODES, 8, 8), whole(model, frames, 8, 8))


def test_the_left_context_matters():
    model = model_of()
    frames = frames_of(CODES, 150)
    assert not torch.allclose(whole(model, frames, 8, 8), whole(model, frames, 8, 24), atol=1e-3)


@pytest.mark.parametrize("front_end", ["conv1d", "conv2d"])
def test_streams_at_different_positions_share_a_batch(front_end):
    model = model_of(front_end=front_end)
    encoder = StreamingEncoder(model, StreamingConfig(8, 16))
    utterances = [frames_of(CODES, length, seed) for seed, length in enumerate((120, 20, 75, 14))]
    buffers, states, outs = [], [], [[] for _ in utterances]
    for frames in utterances:
        buffers.append(FrameBuffer(encoder, CODES.pad_ids, torch.int64))
        buffers[-1].push(frames)
        buffers[-1].finish()
        states.append(encoder.initial_state(1))
    for turn in range(100):
        # Each stream joins later than the one before, and one of them pauses.
        ready = [n for n, buffer in enumerate(buffers) if buffer.is_ready and turn >= n and (n != 2 or turn % 3)]
        if all(buffer.is_done for buffer in buffers):
            break
        windows, num_frames = zip(*(buffers[n].next_window() for n in ready))
        batch = stack_states([states[n] for n in ready])
        x, lens, batch = encoder(torch.stack(windows), torch.tensor(num_frames), batch)
        for row, (n, state) in enumerate(zip(ready, split_state(batch, len(ready)))):
            states[n] = state
            outs[n].append(x[row, : int(lens[row])])
    for frames, out in zip(utterances, outs):
        assert_same(torch.cat(out), whole(model, frames, 8, 16))


def test_a_state_can_be_used_again():
    model = model_of()
    encoder = StreamingZipformer(model.encoder, 4, 8)
    x, lens = torch.randn(2, 4, 16), torch.tensor([4, 4])
    _, _, state = encoder(x, lens, encoder.initial_state(2))
    kept = stack_states(split_state(state, 2))
    first, _, _ = encoder(x, lens, state)
    again, _, _ = encoder(x, lens, copy_state(state))
    assert torch.equal(first, again)
    assert torch.equal(encoder(x, lens, kept)[0], first)


def test_icefalls_causal_encoder_streams_to_icefalls_numbers(request):
    """The reference computed the masked forward with chunk size 8 and left context 16."""
    path = request.path.parents[1] / "assets" / "zipformer_reference.npz"
    with np.load(path) as data:
        names, shapes = data["causal/names"], data["causal/shapes"]
        values = torch.from_numpy(data["causal/params"])
        embed_out, embed_lens = torch.from_numpy(data["embed_out"]), data["embed_lens"]
        expected = torch.from_numpy(data["causal/encoder_out"])
    sizes = [tuple(int(n) for n in text.split(",") if n) for text in shapes]
    parts = values.split([int(np.prod(size)) for size in sizes])
    state = from_icefall({name: part.view(size) for name, part, size in zip(names, parts, sizes)})
    known = {field.name for field in dataclasses.fields(ZipformerConfig)}
    settings = {name: value for name, value in inferred_settings(state).items() if name in known}
    model = torch.nn.Module()
    model.encoder = Zipformer(ZipformerConfig(**settings, encoder_unmasked_dim=(12, 16, 20, 16), dropout=(0.0,)))
    load_strictly(model, state, str(path))
    stream = StreamingZipformer(model.eval().encoder, 8, 16)
    full = int(embed_lens.max())
    assert int(embed_lens[0]) == full
    memory, out = stream.initial_state(1), []
    for start in range(0, full, 8):
        chunk = embed_out[:1, start : min(start + 8, full)]
        lens = torch.tensor([chunk.shape[1]])
        x, out_lens, memory = stream(torch.nn.functional.pad(chunk, (0, 0, 0, 8 - chunk.shape[1])), lens, memory)
        out.append(x[:, : int(out_lens)])
    assert_same(torch.cat(out, dim=1)[0], expected[0])


def test_wrong_use_is_explained():
    with pytest.raises(ValueError, match="trained with causal"):
        StreamingZipformer(model_of(causal=False).encoder, 8, 16)
    encoder = model_of().encoder
    with pytest.raises(ValueError, match="chunk_size is -1"):
        StreamingZipformer(encoder, -1, 16)
    with pytest.raises(ValueError, match="left_context_frames -1"):
        StreamingZipformer(encoder, 8, -1)
    with pytest.raises(ValueError, match="chunk_size 6 is not a multiple of downsampling factor 4"):
        StreamingZipformer(encoder, 6, 16)
    with pytest.raises(ValueError, match="chunk_size 3 is not a multiple of output_downsampling_factor 2"):
        StreamingZipformer(model_of(**{**ONE_RATE, "output_downsampling_factor": 2}).encoder, 3, 6)
    stream = StreamingZipformer(encoder, 8, 16)
    with pytest.raises(ValueError, match=r"7 frames with lens \[7\]; expected 8 frames"):
        stream(torch.zeros(1, 7, 16), torch.tensor([7]), stream.initial_state(1))
    buffer = FrameBuffer(StreamingEncoder(model_of(), StreamingConfig(8, 16)), CODES.pad_ids, torch.int64)
    with pytest.raises(ValueError, match=r"expected \(T, 2\) of torch\.int64"):
        buffer.push(torch.zeros(5, 3, dtype=torch.int64))
    buffer.finish()
    with pytest.raises(ValueError, match="after the end of the stream"):
        buffer.push(frames_of(CODES, 5))
