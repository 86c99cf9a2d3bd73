"""Label smoothing against sums by hand."""

import math

import pytest
import torch

from icefall_discrete.losses.label_smoothing import smoothed_divergence


def test_one_label_by_hand():
    probs, label = [0.5, 0.2, 0.2, 0.1], 1
    logits = torch.tensor(probs).log().view(1, 1, 4) + 3.0
    target = [0.3 / 3, 0.7, 0.3 / 3, 0.3 / 3]
    expected = sum(q * math.log(q / p) for q, p in zip(target, probs))
    found = smoothed_divergence(logits, torch.tensor([[label]]), torch.tensor([1]), 0.3)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_its_least_value_is_zero_where_the_target_is_met(smoothing):
    target = torch.full((1, 1, 6), smoothing / 5)
    target[0, 0, 2] = 1.0 - smoothing
    logits = target.log().clamp(min=-1e4).requires_grad_()
    loss = smoothed_divergence(logits, torch.tensor([[2]]), torch.tensor([1]), smoothing)
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert logits.grad.abs().max().item() == pytest.approx(0.0, abs=1e-6)


def test_without_smoothing_it_is_cross_entropy_and_padding_counts_for_nothing():
    torch.manual_seed(0)
    logits, targets, lens = torch.randn(3, 5, 7), torch.randint(0, 7, (3, 5)), torch.tensor([5, 1, 0])
    logits[1, 2] = float("nan")
    losses = smoothed_divergence(logits, targets, lens, 0.0)
    for n, length in enumerate(lens.tolist()):
        expected = torch.nn.functional.cross_entropy(logits[n, :length], targets[n, :length], reduction="sum")
        assert losses[n].item() == pytest.approx(expected.item(), rel=1e-5)


def test_icefalls_form_differs_by_a_constant():
    torch.manual_seed(1)
    logits, targets, size, theirs = torch.randn(2, 4, 9), torch.randint(0, 9, (2, 4)), 9, 0.1
    log_probs = logits.log_softmax(dim=2)
    of_label = log_probs.gather(2, targets.unsqueeze(2)).squeeze(2)
    icefalls = -((1 - theirs) * of_label + theirs / size * log_probs.sum(dim=2)).sum(dim=1)
    ours = smoothed_divergence(logits, targets, torch.tensor([4, 4]), theirs * (size - 1) / size)
    difference = icefalls - ours
    assert difference[0].item() == pytest.approx(difference[1].item(), rel=1e-4)
