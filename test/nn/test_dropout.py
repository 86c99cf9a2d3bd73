"""Dropout: shares, expectations, gradients, and what the seed decides."""

import pytest
import torch

from icefall_discrete.nn.dropout import Dropout, dropped


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(40_000,), (7, 11, 519), (3, 1, 13_333)])
def test_the_share_is_dropped_and_the_rest_keeps_the_expectation(rate, shape):
    torch.manual_seed(0)
    found = dropped(torch.ones(shape), rate, training=True)
    deviation = (rate * (1 - rate) / found.numel()) ** 0.5
    assert float((found == 0).double().mean()) == pytest.approx(rate, abs=4 * deviation)
    assert torch.allclose(found[found != 0], torch.tensor(1 / (1 - rate)))


def test_neighbours_that_share_a_number_are_dropped_by_themselves():
    torch.manual_seed(0)
    gone = (dropped(torch.ones(100_000, 4), 0.5, training=True) == 0).double()
    assert torch.corrcoef(gone.t()).fill_diagonal_(0).abs().max() < 4 / 100_000**0.5


def test_gradients_pass_where_values_do():
    x = torch.randn(5, 9, 3, requires_grad=True)
    found = dropped(x, 0.3, training=True)
    found.sum().backward()
    assert torch.allclose(found, x * x.grad)
    assert sorted(set(x.grad.flatten().tolist())) == pytest.approx([0.0, 1 / 0.7])


def test_a_seed_decides_and_nothing_is_drawn_where_nothing_is_dropped():
    x = torch.randn(3, 50)
    state = torch.get_rng_state()
    first = dropped(x, 0.2, training=True)
    torch.set_rng_state(state)
    assert torch.equal(first, dropped(x, 0.2, training=True))
    torch.set_rng_state(state)
    assert dropped(x, 0.0, training=True) is x and dropped(x, 0.2, training=False) is x
    assert Dropout(0.2).eval()(x) is x
    assert torch.equal(state, torch.get_rng_state())


def test_types_and_empty_tensors():
    assert dropped(torch.ones(9, dtype=torch.bfloat16), 0.1, training=True).dtype == torch.bfloat16
    assert dropped(torch.ones(2, 0, 4), 0.1, training=True).shape == (2, 0, 4)
    assert dropped(torch.ones(6, 5).t(), 0.5, training=True).shape == (5, 6)


def test_all_may_be_dropped_but_not_more():
    x = torch.ones(1000)
    for rate in (1.0, 1 - 1e-9):
        assert not dropped(x, rate, training=True).any()
    assert dropped(x, 1 - 2**-16, training=True).max() in (0, 2**16)
    with pytest.raises(ValueError, match=r"between 0 and 1, but got 1\.5"):
        dropped(x, 1.5, training=True)


def test_other_devices_draw_by_themselves():
    assert dropped(torch.ones(9, device="meta"), 0.1, training=True).device.type == "meta"
