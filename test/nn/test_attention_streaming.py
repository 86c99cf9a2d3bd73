"""Causal encoders of attention layers: chunk by chunk they give what the whole utterance gives."""

import dataclasses
import random

import pytest
import torch
from test_attention_encoders import KINDS, NO_DROPOUT, small

from icefall_discrete.nn.attention.multi_head import by_offset_to_by_source
from icefall_discrete.nn.encoders.contract import streaming_encoder
from icefall_discrete.nn.stream_state import split_state, stack_states

CHUNKS = [(4, 8), (3, 4), (8, 0), (1, 5), (40, 40)]


def causal(kind, **changes):
    encoder = small(kind, causal=True, **changes).eval()
    for buffer in encoder.buffers():  # the running statistics of a convolution module
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2.0)
    return encoder


@torch.no_grad()
def whole(encoder, x, lens, chunk_size, left):
    """The masked forward of whole utterances."""
    own = encoder.config
    encoder.config = dataclasses.replace(own, chunk_size=(chunk_size,), left_context_frames=(left,))
    found = encoder(x, lens).encoder_out
    encoder.config = own
    return found


def chunk_of(x, start, size):
    part = x[:, start : start + size]
    return torch.nn.functional.pad(part, (0, 0, 0, size - part.shape[1]), value=7.0)


@pytest.mark.parametrize("chunk_size,left", CHUNKS)
@pytest.mark.parametrize("kind", KINDS)
def test_chunk_by_chunk_equals_the_masked_whole_utterance(kind, chunk_size, left):
    encoder = causal(kind, **({"cnn_module_norm": "batch"} if kind == "conformer" else {}))
    lens = torch.tensor([33, 20, 7])
    x = torch.randn(3, 33, 16, generator=torch.Generator().manual_seed(1))
    expected = whole(encoder, x, lens, chunk_size, left)
    stream = streaming_encoder(encoder, chunk_size, left)
    states, done, outs = split_state(stream.initial_state(3), 3), [0, 0, 0], [[], [], []]
    for turn in range(99):
        # Streams begin one after the other, so that they are at different places, and one of them pauses.
        rows = [n for n in range(3) if done[n] < lens[n] and turn >= n and (n != 1 or turn % 3)]
        if not rows and all(done[n] >= lens[n] for n in range(3)):
            break
        if not rows:
            continue
        chunks = torch.cat([chunk_of(x[n : n + 1, : lens[n]], done[n], chunk_size) for n in rows])
        sizes = torch.tensor([min(chunk_size, int(lens[n]) - done[n]) for n in rows])
        out, out_lens, state = stream(chunks, sizes, stack_states([states[n] for n in rows]))
        assert torch.equal(out_lens, sizes)
        for place, (n, own) in enumerate(zip(rows, split_state(state, len(rows)))):
            states[n] = own
            outs[n].append(out[place, : int(sizes[place])])
            done[n] += int(sizes[place])
    for n, length in enumerate(lens.tolist()):
        torch.testing.assert_close(torch.cat(outs[n]), expected[n, :length], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_no_later_chunk_is_seen_and_the_left_context_is(kind):
    encoder = causal(kind, **({"cnn_module_norm": "batch"} if kind == "conformer" else {}))
    x, lens = torch.randn(1, 24, 16), torch.tensor([24])
    first = whole(encoder, x, lens, 8, 8)
    x[:, 16:] = 100.0
    torch.testing.assert_close(whole(encoder, x, lens, 8, 8)[:, :16], first[:, :16])
    assert not torch.allclose(whole(encoder, x, lens, 8, 16)[:, 16:], whole(encoder, x, lens, 8, 8)[:, 16:])


@pytest.mark.parametrize("kind", KINDS)
def test_an_utterance_in_a_batch_gives_what_it_gives_alone(kind):
    encoder = causal(kind, **NO_DROPOUT)
    x, lens = torch.randn(3, 21, 16), torch.tensor([21, 9, 4])
    together = whole(encoder, x, lens, 4, 8)
    for n, length in enumerate(lens.tolist()):
        alone = whole(encoder, x[n : n + 1, :length], lens[n : n + 1], 4, 8)
        torch.testing.assert_close(together[n, :length], alone[0], rtol=1e-5, atol=1e-5)


def test_training_draws_chunks_and_offline_use_sees_everything_before_it():
    encoder = causal("conformer", chunk_size=(2, -1), left_context_frames=(2,), **NO_DROPOUT)
    x, lens = torch.randn(1, 12, 16), torch.tensor([12])
    offline = encoder(x, lens).encoder_out
    torch.testing.assert_close(offline, whole(encoder, x, lens, -1, -1))
    random.seed(0)
    drawn = [encoder.train()(x, lens).encoder_out for _ in range(8)]
    assert 0 < sum(torch.allclose(one, offline, atol=1e-5) for one in drawn) < 8


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_the_same_names_and_shapes_whether_causal_or_not(kind):
    shapes = [{name: value.shape for name, value in small(kind, causal=one).state_dict().items()} for one in (0, 1)]
    assert shapes[0] == shapes[1]


def test_offsets_behind_a_left_context_are_read_by_source():
    rows = torch.arange(4, -3, -1).expand(3, 7)  # 3 targets behind 2 frames: offsets 4 to -2
    expected = (2 + torch.arange(3)).unsqueeze(1) - torch.arange(5)
    assert torch.equal(by_offset_to_by_source(rows), expected)


def test_wrong_use_is_explained():
    with pytest.raises(ValueError, match="chunk_size is 4 and left_context_frames -1"):
        streaming_encoder(causal("transformer"), 4, -1)
    stream = streaming_encoder(causal("transformer"), 4, 4)
    with pytest.raises(ValueError, match=r"a chunk of 3 frames with lens \[3\]; expected 4 frames"):
        stream(torch.zeros(1, 3, 16), torch.tensor([3]), stream.initial_state(1))
