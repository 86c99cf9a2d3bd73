from pathlib import Path

import numpy
import pytest
import torch

from icefall_discrete.base.backend import k2_module, resolve
from icefall_discrete.losses.prune import prune_ranges
from icefall_discrete.losses.pruned_rnnt import (
    RNNT_TYPES,
    LatticeOptions,
    Targets,
    pruned_rnnt_loss,
    smoothed_rnnt_loss,
)

HAS_K2 = resolve("auto") == "k2"
BACKENDS = ["torch", *(["k2"] if HAS_K2 else [])]
SCALES = [(0.0, 0.0), (0.25, 0.0), (0.1, 0.15)]


@pytest.fixture(scope="module")
def golden():
    with numpy.load(Path(__file__).parents[1] / "assets" / "rnnt_loss_golden.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def golden_targets(golden):
    boundary = golden["boundary"].long()
    return Targets(golden["symbols"].long(), boundary[:, 2], boundary[:, 3])


def assert_near(actual, expected, tolerance):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_golden(golden, rnnt_type, scales, backend):
    place = f"{rnnt_type}/lm{scales[0]}_am{scales[1]}/"
    targets, options = golden_targets(golden), LatticeOptions(rnnt_type, backend=backend)
    lm, am = golden["lm"].clone().requires_grad_(), golden["am"].clone().requires_grad_()
    loss, label_use, blank_use = smoothed_rnnt_loss(lm, am, targets, *scales, options)
    loss.sum().backward()
    assert_near(loss, golden[place + "loss"], 1e-6)
    for actual, name in ((label_use, "px_grad"), (blank_use, "py_grad"), (lm.grad, "lm_grad"), (am.grad, "am_grad")):
        assert_near(actual, golden[place + name], 5e-5)
    for size in (3, 5):
        ranges = prune_ranges(label_use, blank_use, targets.label_lens, targets.frame_lens, size)
        assert torch.equal(ranges, golden[f"{place}ranges_s{size}"].long())
        logits = golden[f"logits_s{size}"].clone().requires_grad_()
        pruned = pruned_rnnt_loss(logits, ranges, targets, options)
        pruned.sum().backward()
        assert_near(pruned, golden[f"{place}s{size}/pruned_loss"], 1e-6)
        if f"{place}s{size}/logits_grad" in golden:
            assert_near(logits.grad, golden[f"{place}s{size}/logits_grad"], 2e-5)


def full_loss(logits, targets, options):
    return pruned_rnnt_loss(logits, torch.arange(logits.size(2)).expand(logits.shape[:3]), targets, options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden_full_loss(golden, backend):
    logits = golden["full/logits"].clone().requires_grad_()
    loss = full_loss(logits, golden_targets(golden), LatticeOptions(backend=backend))
    loss.sum().backward()
    assert_near(loss, golden["full/loss"], 1e-6)
    assert_near(logits.grad, golden["full/logits_grad"], 2e-5)


def random_problem(dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    lm = torch.randn(3, 5, 7, generator=generator, dtype=dtype)
    am = torch.randn(3, 6, 7, generator=generator, dtype=dtype)
    labels = torch.randint(1, 7, (3, 4), generator=generator)
    return lm, am, Targets(labels, torch.tensor([4, 0, 2]), torch.tensor([6, 3, 4]))


@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_gradients_by_finite_differences(rnnt_type):
    lm, am, targets = random_problem()
    options = LatticeOptions(rnnt_type, delay_penalty=0.1)

    def smoothed(lm, am):
        return smoothed_rnnt_loss(lm, am, targets, 0.2, 0.1, options)[0]

    assert torch.autograd.gradcheck(smoothed, (lm.requires_grad_(), am.requires_grad_()))
    _, label_use, blank_use = smoothed_rnnt_loss(lm, am, targets, 0.2, 0.1, options)
    ranges = prune_ranges(label_use, blank_use, targets.label_lens, targets.frame_lens, 3)
    logits = torch.randn(3, 6, 3, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: pruned_rnnt_loss(x, ranges, targets, options), logits.requires_grad_())


@pytest.mark.skipif(not HAS_K2, reason="k2 is not installed")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_delay_penalty_equals_that_of_k2(rnnt_type, backend):
    lm, am, targets = random_problem(torch.float32)
    zeros = torch.zeros_like(targets.label_lens)
    boundary = torch.stack([zeros, zeros, targets.label_lens, targets.frame_lens], dim=1)
    expected = k2_module().rnnt_loss_smoothed(
        lm, am, targets.labels, 0, 0.25, 0.0, boundary, rnnt_type, delay_penalty=0.3, reduction="none"
    )
    loss, _, _ = smoothed_rnnt_loss(lm, am, targets, 0.25, 0.0, LatticeOptions(rnnt_type, 0.3, backend))
    assert_near(loss, expected, 1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rnnt_type", RNNT_TYPES)
def test_an_utterance_in_a_batch_is_worth_what_it_is_worth_alone(rnnt_type, backend):
    lm, am, targets = random_problem()
    options = LatticeOptions(rnnt_type, backend=backend)
    loss, label_use, blank_use = smoothed_rnnt_loss(lm, am, targets, 0.25, 0.0, options)
    ranges = prune_ranges(label_use, blank_use, targets.label_lens, targets.frame_lens, 3)
    logits = torch.randn(3, 6, 3, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    pruned = pruned_rnnt_loss(logits, ranges, targets, options)
    for n in range(3):
        num_labels, num_frames = int(targets.label_lens[n]), int(targets.frame_lens[n])
        own = Targets(
            targets.labels[n : n + 1, :num_labels], targets.label_lens[n : n + 1], targets.frame_lens[n : n + 1]
        )
        alone = smoothed_rnnt_loss(lm[n : n + 1, : num_labels + 1], am[n : n + 1, :num_frames], own, 0.25, 0.0, options)
        assert_near(alone[0], loss[n : n + 1], 1e-9)
        assert_near(alone[1][0], label_use[n, :num_labels, : alone[1].size(2)], 1e-9)
        wide = Targets(targets.labels[n : n + 1], own.label_lens, own.frame_lens)
        short = pruned_rnnt_loss(logits[n : n + 1, :num_frames], ranges[n : n + 1, :num_frames], wide, options)
        assert_near(short, pruned[n : n + 1], 1e-9)


def test_pruned_over_all_positions_is_the_full_loss_of_the_additive_joiner():
    lm, am, targets = random_problem()
    options = LatticeOptions()
    loss, _, _ = smoothed_rnnt_loss(lm, am, targets, 0.0, 0.0, options)
    assert_near(full_loss(am.unsqueeze(2) + lm.unsqueeze(1), targets, options), loss, 1e-9)


def test_more_labels_than_frames_is_infinite_in_a_modified_lattice():
    lm, am, targets = random_problem()
    crowded = Targets(targets.labels, targets.label_lens, torch.tensor([3, 3, 3]))
    loss, _, _ = smoothed_rnnt_loss(lm, am, crowded, 0.0, 0.0, LatticeOptions("modified"))
    assert loss.isinf().tolist() == [True, False, False]


def test_unknown_lattice_lists_the_known():
    with pytest.raises(ValueError, match="unknown rnnt_type 'free'; known: regular, modified, constrained"):
        LatticeOptions("free")
