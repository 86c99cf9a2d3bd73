"""Schedules, norms and gradient constraints against numbers that icefall's own code computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from icefall_discrete.nn.scaling import Balancer, BiasNorm, Schedule, SwooshLinear, Whiten, set_batch_count
from icefall_discrete.nn.scaling.balancer import balancer_gradient
from icefall_discrete.nn.scaling.limits import limited_gradient
from icefall_discrete.nn.scaling.swoosh import swoosh_l, swoosh_r
from icefall_discrete.nn.scaling.whiten import MAX_PROB, MIN_PROB, whitening_metric_and_gradient

REFERENCE = Path(__file__).parents[1] / "assets" / "scaling_reference.npz"
BALANCERS = {
    "a": {"positive": (0.3, 0.7), "abs_value": (0.5, 2.0)},
    "b": {"positive": (0.0, 1.0), "abs_value": (0.2, 1.0)},
    "c": {},
}


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as data:
        return {name: torch.from_numpy(data[name]) for name in data}


def gradient_through(module, reference):
    x = reference["x"].clone().requires_grad_()
    module.train()(x).backward(reference["grad"])
    return x.grad


@pytest.mark.parametrize("name", sorted(BALANCERS))
@pytest.mark.parametrize("channel_dim", [-1, 1])
def test_balancer_gradient_matches_icefall(reference, name, channel_dim):
    balancer = Balancer(channel_dim=channel_dim, prob=1.0, **BALANCERS[name])
    mine, expected = gradient_through(balancer, reference), reference[f"balancer/{name}/{channel_dim}"]
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)
    inside_all_ranges = (name, channel_dim) == ("c", 1)
    assert torch.allclose(expected, reference["grad"]) == inside_all_ranges


def test_balancer_pushes_constant_channels_and_leaves_silent_ones():
    x = torch.tensor([0.0, 3.0, -2.0]).repeat(4, 5, 1)
    grad = torch.linspace(-1.0, 1.0, 60).view(4, 5, 3)
    push = balancer_gradient(x, grad, (-0.5, 0.5), (0.2, 9.0), 0.04, 2) - grad
    torch.testing.assert_close(push, 0.04 * torch.tensor([0.0, 1.0, -1.0]) * grad.abs(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("limit", [1.0, 50.0])
def test_whiten_gradient_matches_icefall(reference, groups, limit, monkeypatch):
    whiten = Whiten(limit, grad_scale=0.05, num_groups=groups)
    monkeypatch.setattr(whiten, "draw", lambda: True)
    torch.testing.assert_close(
        gradient_through(whiten, reference), reference[f"whiten/{groups}/{limit}"], rtol=1e-5, atol=1e-6
    )
    metric, _ = whitening_metric_and_gradient(reference["x"], groups)
    torch.testing.assert_close(metric, reference[f"whiten_metric/{groups}"], rtol=1e-5, atol=1e-6)
    assert whiten.prob == (MAX_PROB if float(metric) >= limit else MIN_PROB)


@pytest.fixture
def flushed_denormals():
    """As training runs: numbers below 1e-38 are 0."""
    before = bool(torch.tensor(1e-40) * 1 != 0)
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(not before)


@pytest.mark.parametrize("size", [0.0, 1e-7, 1e-6, 5e-6, 1e-5, 1e-4, 1.0])
def test_whiten_gradient_is_finite_and_right_for_frames_that_hardly_differ(size, flushed_denormals):
    generator = torch.Generator().manual_seed(1)
    x = 0.5 + size * torch.randn(3, 6, generator=generator, dtype=torch.float64)  # 3 frames: of one short utterance
    metric, direction = whitening_metric_and_gradient(x.to(torch.float32), 1)
    assert torch.isfinite(metric) and torch.isfinite(direction).all()
    x = x.to(torch.float32).to(torch.float64).requires_grad_()
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred
    expected = (covariance.square().sum() / 6) / (covariance.diagonal().mean().square() + 1e-20)
    expected.backward()
    if size > 1e-6:  # below, the rounding of x in float32 is what differs
        torch.testing.assert_close(metric.double(), expected.detach(), rtol=0.05, atol=0.0)
        torch.testing.assert_close(direction.double(), x.grad, rtol=0.2, atol=0.05 * float(x.grad.abs().max()))


def test_constraints_are_silent_in_evaluation(reference):
    for module in (Balancer(prob=1.0), Whiten(1.0)):
        x = reference["x"].clone().requires_grad_()
        module.eval()(x).backward(reference["grad"])
        assert torch.equal(x.grad, reference["grad"])


def test_bias_norm_matches_icefall(reference):
    norm = BiasNorm(6).eval()
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0, 0.5, -0.1]))
        norm.log_scale.fill_(0.7)
    x = reference["x"].clone().requires_grad_()
    out = norm(x)
    out.backward(reference["grad"])
    torch.testing.assert_close(out, reference["bias_norm/out"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x.grad, reference["bias_norm/x"], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.bias.grad, reference["bias_norm/bias"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.log_scale.grad, reference["bias_norm/log_scale"], rtol=1e-4, atol=1e-5)


def test_limits_turn_gradients_round_as_icefall_does(reference):
    out = limited_gradient(reference["limit/p"], reference["limit/grad"], 0.9, 1.0)
    assert torch.equal(out, reference["limit/out"])


def test_schedule_matches_icefall_and_follows_the_batch_count(reference):
    schedule = Schedule((0.0, 0.2), (4000.0, 0.05), (16000.0, 0.0))
    values = [schedule.at(float(count)) for count in reference["schedule/at"]]
    np.testing.assert_allclose(values, reference["schedule/value"], atol=1e-12)
    module = nn.Sequential(SwooshLinear(4, 4, "l", 1.0, dropout=schedule))
    assert float(schedule) == 0.2
    set_batch_count(module, 4000)
    assert float(schedule) == 0.05
    assert "dropout" not in str(list(module.state_dict()))


def test_schedule_from_a_setting():
    assert Schedule.from_flat((0.1,)).at(1e9) == 0.1
    assert Schedule.from_flat((0.0, 0.3, 20000.0, 0.1)).at(10000.0) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="expected one number, or pairs"):
        Schedule.from_flat((0.0, 0.3, 20000.0))
    with pytest.raises(ValueError, match="must rise"):
        Schedule((5.0, 1.0), (5.0, 2.0))


@pytest.mark.parametrize("function,shift,constant", [(swoosh_l, 4.0, 0.035), (swoosh_r, 1.0, 0.313261687)])
def test_swoosh_value_and_gradient(function, shift, constant):
    x = torch.linspace(-60.0, 60.0, 241, dtype=torch.float64, requires_grad=True)
    expected = torch.logaddexp(torch.zeros_like(x), x - shift) - 0.08 * x - constant
    (slope,) = torch.autograd.grad(expected.sum(), x)
    out = function(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-8)
    out.sum().backward()
    torch.testing.assert_close(x.grad, slope, rtol=0, atol=1e-12)


def test_swoosh_linear_equals_its_parts_with_dropout_shared_over_time():
    torch.manual_seed(0)
    module = SwooshLinear(6, 5, "l", scale=1.0, dropout=0.4)
    x = torch.randn(3, 4, 6, requires_grad=True)
    torch.manual_seed(1)
    out = module(x)
    torch.manual_seed(1)
    mask = (torch.rand(3, 1, 6) > 0.4) / 0.6
    expected = torch.nn.functional.linear(swoosh_l(x) * mask, module.weight, module.bias)
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    mine = torch.autograd.grad(out, (x, module.weight, module.bias), cotangent)
    theirs = torch.autograd.grad(expected, (x, module.weight, module.bias), cotangent)
    for one, other in zip(mine, theirs):
        torch.testing.assert_close(one, other)
