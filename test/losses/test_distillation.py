"""Semantic distillation against its formula, written out."""

import math

import numpy as np
import torch

from icefall_discrete.losses.distillation import distillation_losses


def plain(student, teacher, heard):
    """-1/D sum_d log sigmoid(cos over time), for one segment."""
    found = []
    for course, other in zip(student[heard].T, teacher[heard].T):
        cosine = course @ other / (np.linalg.norm(course) * np.linalg.norm(other))
        found.append(-math.log(1 / (1 + math.exp(-cosine))))
    return np.mean(found)


def some(seed):
    return torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_the_formula_and_what_lies_behind_an_end_does_not_count():
    student, teacher = some(0), some(1)
    heard = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    found = distillation_losses(student, teacher, heard)
    expected = [plain(*(one.numpy() for one in row)) for row in zip(student, teacher, heard)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    changed = student + 9.0 * ~heard[..., None]
    assert torch.equal(distillation_losses(changed, teacher, heard), found)
    one = distillation_losses(student[1:2, :4], teacher[1:2, :4], heard[1:2, :4])
    torch.testing.assert_close(one[0], found[1])


def test_its_bounds_and_its_gradient():
    states, heard = some(0), torch.ones(3, 7, dtype=torch.bool)
    same, opposed = (distillation_losses(states, sign * 3 * states, heard) for sign in (1, -1))
    np.testing.assert_allclose(same, -math.log(1 / (1 + math.exp(-1))), rtol=1e-6)
    np.testing.assert_allclose(opposed, -math.log(1 / (1 + math.exp(1))), rtol=1e-6)
    nothing = distillation_losses(states, states, torch.zeros_like(heard))
    np.testing.assert_allclose(nothing, math.log(2), rtol=1e-6)
    assert torch.autograd.gradcheck(
        lambda one: distillation_losses(one, some(1), heard),
        (states[:, :, :2].repeat(1, 1, 3)[..., :5].requires_grad_(),),
    )
