import pytest
import torch

from icefall_discrete.base.backend import k2_module, resolve
from icefall_discrete.losses.prune import prune, prune_ranges


def random_occupation(regular, seed):
    generator = torch.Generator().manual_seed(seed)
    label = torch.rand(4, 9, 21 if regular else 20, generator=generator)
    blank = torch.rand(4, 10, 20, generator=generator)
    # Most of real occupation is exactly zero, and equal sums then tie.
    return label * (label > 0.7), blank * (blank > 0.7)


LABEL_LENS, FRAME_LENS = torch.tensor([9, 5, 0, 1]), torch.tensor([20, 13, 7, 20])


@pytest.mark.skipif(resolve("auto") != "k2", reason="k2 is not installed")
@pytest.mark.parametrize("regular", [True, False])
def test_ranges_equal_those_of_k2(regular):
    zeros = torch.zeros(4, dtype=torch.int64)
    boundary = torch.stack([zeros, zeros, LABEL_LENS, FRAME_LENS], dim=1)
    for seed in range(20):
        label, blank = random_occupation(regular, seed)
        for size in (2, 3, 5, 9, 10, 30):
            expected = k2_module().get_rnnt_prune_ranges(label, blank, boundary, size)
            assert torch.equal(prune_ranges(label, blank, LABEL_LENS, FRAME_LENS, size), expected)


@pytest.mark.parametrize("regular", [True, False])
def test_ranges_leave_a_path(regular):
    for seed in range(20):
        label, blank = random_occupation(regular, seed)
        ranges = prune_ranges(label, blank, LABEL_LENS, FRAME_LENS, 3)
        rise = ranges[:, 1:, 0] - ranges[:, :-1, 0]
        assert ranges.min() >= 0 and ranges.max() <= 9
        assert (rise >= 0).all() and rise.max() <= (2 if regular else 1)
        assert (ranges[:, 0, 0] == 0).all()
        for n in range(4):
            assert LABEL_LENS[n] in ranges[n, FRAME_LENS[n] - 1]


def test_a_range_of_all_positions_keeps_all():
    label, blank = random_occupation(True, 0)
    assert torch.equal(prune_ranges(label, blank, LABEL_LENS, FRAME_LENS, 30), torch.arange(10).expand(4, 20, 10))


def test_too_small_a_range_is_refused():
    label, blank = random_occupation(True, 0)
    with pytest.raises(ValueError, match="prune_range is 1, but this lattice needs at least 2"):
        prune_ranges(label, blank, LABEL_LENS, FRAME_LENS, 1)


def test_prune_takes_positions_and_returns_their_gradient():
    generator = torch.Generator().manual_seed(0)
    am = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    lm = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    ranges = torch.tensor([[0, 0, 1, 3], [0, 2, 2, 4]]).unsqueeze(2) + torch.arange(2)
    am_pruned, lm_pruned = prune(am, lm, ranges)
    for n, t, r in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(2)).tolist():
        assert torch.equal(lm_pruned[n, t, r], lm[n, ranges[n, t, r]])
        assert torch.equal(am_pruned[n, t, r], am[n, t])
    assert torch.autograd.gradcheck(lambda a, b: prune(a, b, ranges), (am, lm))
