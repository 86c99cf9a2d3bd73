"""SEANet from weights: edges, frame counts, and weights that do not belong (codes: test_soundstream.py and others)."""

import numpy as np
import pytest
import torch
from toy_codecs import DIM, RandomWeights, seanet_decoder, seanet_encoder

from icefall_discrete.tokenizers.formats.pretrained import Weights
from icefall_discrete.tokenizers.networks.seanet import reflect_pad, seanet_from


def toy_encoder(causal=False):
    weights = RandomWeights()
    seanet_encoder(weights, "", (3, 2), num_lstm=1)
    return seanet_from(Weights(weights.tensors, "toy"), causal)


@pytest.mark.parametrize("left, right", [(0, 0), (2, 1), (3, 3)])
def test_reflection_is_numpys(left, right):
    signal = torch.arange(8.0).reshape(2, 4)
    expected = torch.stack([torch.from_numpy(np.pad(row.numpy(), (left, right), "reflect")) for row in signal])
    assert torch.equal(reflect_pad(signal, left, right), expected)


def test_what_is_shorter_than_its_padding_is_reflected_with_zeros():
    assert reflect_pad(torch.tensor([[1.0, 2.0]]), 3, 3).tolist() == [[0.0, 0.0, 2.0, 1.0, 2.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("causal", [False, True])
def test_frames_are_those_that_begin_in_the_audio(causal):
    encoder = toy_encoder(causal)
    assert encoder.stride == 6
    for size in range(1, 26):
        assert encoder(torch.randn(1, size)).shape == (DIM, -(-size // 6))


def test_a_decoder_gives_whole_frames():
    weights = RandomWeights()
    seanet_decoder(weights, "", (3, 2), num_lstm=0)
    decoder = seanet_from(Weights(weights.tensors, "toy"), causal=False)
    assert decoder.stride == 6
    assert decoder(torch.randn(DIM, 7)).shape == (1, 42)


def test_weights_that_do_not_belong_are_named():
    weights = RandomWeights()
    seanet_encoder(weights, "", (3, 2))
    tensors = {**weights.tensors, "model.0.conv.norm.weight": torch.ones(4)}
    with pytest.raises(ValueError, match=r"1 weights are not understood \(norm.weight"):
        seanet_from(Weights(tensors, "toy"), causal=False)
    with pytest.raises(ValueError, match=r"has no weight 'model.0"):
        seanet_from(Weights({}, "toy"), causal=False)
