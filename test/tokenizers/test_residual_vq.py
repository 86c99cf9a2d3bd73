"""Residual VQ against a plain loop over float64 distances, ties, and what decoding adds up."""

import pytest
import torch
from toy_codecs import RandomWeights, residual_vq

from icefall_discrete.tokenizers.formats.pretrained import Weights
from icefall_discrete.tokenizers.networks.residual_vq import ResidualVq, nearest, residual_vq_from


def test_codes_equal_a_plain_loop():
    draw = torch.Generator().manual_seed(0)
    books = [torch.randn(size, 6, generator=draw) for size in (9, 5, 7)]
    states = torch.randn(40, 6, generator=draw)
    codes = ResidualVq(books).encode(states, 3)
    for state, row in zip(states.double(), codes.tolist()):
        for book, code in zip(books, row):
            distances = [float((state - entry).square().sum()) for entry in book.double()]
            assert code == distances.index(min(distances))
            state = state - book.double()[code]


def test_the_first_of_equal_entries_is_taken():
    book = torch.tensor([[5.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest(torch.tensor([[1.5, 0.0]]), book).tolist() == [1]


def test_decoding_adds_entries_up():
    books = [torch.eye(3), 0.1 * torch.eye(3)]
    quantizer = ResidualVq(books)
    states = quantizer.decode(torch.tensor([[0, 2], [1, 1]]))
    torch.testing.assert_close(states, torch.tensor([[1.0, 0.0, 0.1], [0.0, 1.1, 0.0]]))
    assert torch.equal(quantizer.decode(torch.tensor([[2]])), torch.tensor([[0.0, 0.0, 1.0]]))
    assert quantizer.encode(states, 2).tolist() == [[0, 2], [1, 1]]


def test_a_state_dict_is_read_wholly():
    weights = RandomWeights()
    residual_vq(weights, "", 3)
    books = residual_vq_from(Weights(weights.tensors, "toy")).codebooks()
    assert [book.shape for book in books] == [(32, 16)] * 3
    assert torch.equal(books[2], weights.tensors["vq.layers.2._codebook.embed"])
    with pytest.raises(ValueError, match=r"vq\.layers\.0\.project_in\.weight"):
        residual_vq_from(Weights({**weights.tensors, "vq.layers.0.project_in.weight": torch.ones(1)}, "toy"))
    with pytest.raises(ValueError, match="has no weight"):
        residual_vq_from(Weights({}, "toy"))
