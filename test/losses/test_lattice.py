import itertools
import math

import pytest
import torch

from icefall_discrete.base.backend import resolve
from icefall_discrete.losses.lattice import lattice_score

BACKENDS = ["torch", *(["k2"] if resolve("auto") == "k2" else [])]
LABEL_LENS, FRAME_LENS = torch.tensor([3, 0, 2]), torch.tensor([5, 4, 3])


def random_arcs(regular, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    num, labels, frames = 3, 3, 5
    label_arcs = torch.randn(num, labels, frames + (1 if regular else 0), generator=generator, dtype=dtype)
    blank_arcs = torch.randn(num, labels + 1, frames, generator=generator, dtype=dtype)
    if regular:
        beyond = torch.arange(frames + 1) >= FRAME_LENS[:, None, None]
        label_arcs = label_arcs.masked_fill(beyond, float("-inf"))
    return label_arcs, blank_arcs


def sum_over_paths(label_arcs, blank_arcs, num_labels, num_frames, regular):
    """All sequences of arcs from the first to the last node, one by one."""
    num_steps = num_labels + num_frames if regular else num_frames
    total = []
    for where in itertools.combinations(range(num_steps), num_labels):
        label, frame, score = 0, 0, 0.0
        for step in range(num_steps):
            if step in where:
                score += float(label_arcs[label, frame]) if frame < label_arcs.size(1) else -math.inf
                label += 1
                frame += 0 if regular else 1
            else:
                score += float(blank_arcs[label, frame]) if frame < num_frames else -math.inf
                frame += 1
        total.append(score)
    return torch.logsumexp(torch.tensor(total, dtype=torch.float64), dim=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("regular", [True, False])
def test_score_is_the_sum_over_all_paths(regular, backend):
    label_arcs, blank_arcs = random_arcs(regular)
    score, _, _ = lattice_score(label_arcs, blank_arcs, LABEL_LENS, FRAME_LENS, backend)
    for n in range(3):
        expected = sum_over_paths(label_arcs[n], blank_arcs[n], int(LABEL_LENS[n]), int(FRAME_LENS[n]), regular)
        assert score[n].item() == pytest.approx(expected.item(), abs=1e-10)


@pytest.mark.parametrize("regular", [True, False])
def test_gradient_by_finite_differences(regular):
    label_arcs, blank_arcs = random_arcs(regular)
    exists = label_arcs.isfinite()

    def score(label, blank):
        return lattice_score(label.masked_fill(~exists, float("-inf")), blank, LABEL_LENS, FRAME_LENS, "torch")[0]

    finite = label_arcs.masked_fill(~exists, 0.0).requires_grad_()
    assert torch.autograd.gradcheck(score, (finite, blank_arcs.requires_grad_()))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("regular", [True, False])
def test_occupation_counts_arcs(regular, backend):
    label_arcs, blank_arcs = random_arcs(regular)
    _, label_use, blank_use = lattice_score(label_arcs, blank_arcs, LABEL_LENS, FRAME_LENS, backend)
    torch.testing.assert_close(label_use.sum(dim=(1, 2)), LABEL_LENS.double())
    num_blanks = FRAME_LENS if regular else FRAME_LENS - LABEL_LENS
    torch.testing.assert_close(blank_use.sum(dim=(1, 2)), num_blanks.double())
    for n in range(3):
        assert (label_use[n, LABEL_LENS[n] :] == 0).all() and (blank_use[n, :, FRAME_LENS[n] :] == 0).all()


def test_float32_stays_close_over_a_long_utterance():
    generator = torch.Generator().manual_seed(0)
    label_arcs = torch.randn(1, 80, 401, generator=generator, dtype=torch.float64) - 4.0
    label_arcs[:, :, -1] = float("-inf")
    blank_arcs = torch.randn(1, 81, 400, generator=generator, dtype=torch.float64) - 4.0
    lens = torch.tensor([80]), torch.tensor([400])
    exact = lattice_score(label_arcs, blank_arcs, *lens, "torch")
    single = lattice_score(label_arcs.float(), blank_arcs.float(), *lens, "torch")
    assert abs(single[0].item() / exact[0].item() - 1.0) < 1e-6
    assert (single[1].double() - exact[1]).abs().max() < 2e-3
    assert single[2].sum().item() == pytest.approx(400, rel=1e-4)


@pytest.mark.parametrize("regular", [True, False])
def test_unreachable_end_is_minus_infinity_with_zero_gradient(regular):
    label_arcs, blank_arcs = random_arcs(regular)
    label_arcs[:, 1] = float("-inf")
    label_arcs.requires_grad_()
    score, _, _ = lattice_score(label_arcs, blank_arcs, LABEL_LENS, FRAME_LENS, "torch")
    assert score.isneginf().tolist() == [True, False, True]
    score[1].backward()
    assert label_arcs.grad.isfinite().all()
