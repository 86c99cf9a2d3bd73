"""Factorised residual VQ against transformers' DAC on the same random weights."""

import pytest
import torch

from icefall_discrete.tokenizers.formats.pretrained import Weights
from icefall_discrete.tokenizers.networks.factorised_vq import FactorisedVq


@pytest.fixture(scope="module")
def theirs():
    """A quantizer of DAC: 3 codebooks of 16 entries, 4 of 12 dimensions."""
    transformers = pytest.importorskip("transformers")
    config = transformers.DacConfig(
        encoder_hidden_size=4, downsampling_ratios=[2], decoder_hidden_size=8, upsampling_ratios=[2], hidden_size=12,
        n_codebooks=3, codebook_size=16, codebook_dim=4,
    )  # fmt: skip
    quantizer = transformers.DacModel(config).quantizer.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in quantizer.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * value.shape[-1] ** -0.5)
    return quantizer


@pytest.mark.parametrize("num_codebooks", [1, 2, 3])
def test_codes_and_states_are_those_of_dac(theirs, num_codebooks):
    ours = FactorisedVq(Weights(theirs.state_dict(), "quantizer"))
    states = torch.randn(40, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = theirs(states.t()[None], num_codebooks)
    codes = ours.encode(states, num_codebooks)
    assert codes.shape == (40, num_codebooks) and len(codes.unique()) > 8
    assert torch.equal(codes, found[1][0].t())
    torch.testing.assert_close(ours.decode(codes), found[0][0].t(), atol=1e-5, rtol=1e-4)
    assert [tuple(book.shape) for book in ours.codebooks()] == [(16, 12)] * 3


def test_states_are_the_sum_of_the_vectors_of_the_codebooks(theirs):
    ours = FactorisedVq(Weights(theirs.state_dict(), "quantizer"))
    codes = torch.tensor([[3, 15, 0], [0, 0, 7]])
    expected = sum(book[codes[:, index]] for index, book in enumerate(ours.codebooks()))
    torch.testing.assert_close(ours.decode(codes), expected)


def test_a_weight_that_is_not_understood_is_an_error(theirs):
    with pytest.raises(ValueError, match=r"quantizers.1.\*: 1 weights are not understood \(gain"):
        FactorisedVq(Weights({**theirs.state_dict(), "quantizers.1.gain": torch.ones(1)}, "quantizer"))
    missing = {name: value for name, value in theirs.state_dict().items() if name != "quantizers.2.out_proj.bias"}
    with pytest.raises(ValueError, match=r"no weight 'out_proj\.bias'"):
        FactorisedVq(Weights(missing, "quantizer"))
