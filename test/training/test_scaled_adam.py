import copy
import logging
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from icefall_discrete.training import stacked_parameters
from icefall_discrete.training.eden import Eden
from icefall_discrete.training.scaled_adam import ScaledAdam, SizeRules


@pytest.fixture
def as_on_a_device(monkeypatch):
    monkeypatch.setattr(stacked_parameters, "has_cache", lambda device: False)


@pytest.fixture(params=["size by size", "all together"])
def either_way(request):
    if request.param == "all together":
        request.getfixturevalue("as_on_a_device")


@pytest.mark.usefixtures("either_way")
def test_golden_with_eden():
    with numpy.load(Path(__file__).parents[1] / "assets" / "scaled_adam_eden_golden.npz") as arrays:
        golden = {key: torch.from_numpy(numpy.asarray(arrays[key])) for key in arrays}
    params = {key[5:]: nn.Parameter(value.clone()) for key, value in golden.items() if key.startswith("init/")}
    optimizer = ScaledAdam(params.items(), lr=0.045, clipping_scale=2.0, clipping_update_period=10)
    schedule = Eden(optimizer, lr_batches=50, lr_epochs=2, warmup_batches=20)
    for step in range(60):
        schedule.step_epoch(step // 30)
        schedule.step_batch(step)
        assert schedule.get_last_lr()[0] == pytest.approx(golden["lr"][step].item(), rel=1e-9)
        for name, param in params.items():
            param.grad = golden[f"grad/{step}/{name}"].clone()
        optimizer.step()
        if step in (0, 1, 5, 19, 39, 59):
            for name, param in params.items():
                torch.testing.assert_close(param.detach(), golden[f"param/{step}/{name}"], rtol=0, atol=1e-6)


def small_model(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv1d(4, 6, 3), nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 5, bias=False))
    model.register_parameter("scale", nn.Parameter(torch.tensor(0.5)))
    model.register_parameter("bias", nn.Parameter(torch.tensor([[1.0]])))
    return model


def train(model, optimizer, first_step, num_steps):
    for step in range(first_step, first_step + num_steps):
        generator = torch.Generator().manual_seed(step)
        for param in model.parameters():
            param.grad = torch.randn(param.shape, generator=generator) * (50.0 if step % 17 == 16 else 1.0)
        optimizer.step()


@pytest.mark.usefixtures("either_way")
def test_continues_exactly_from_its_state():
    model = small_model()
    optimizer = ScaledAdam(model.named_parameters(), lr=0.05, clipping_scale=1.5, clipping_update_period=8)
    train(model, optimizer, 0, 21)
    resumed = copy.deepcopy(model)
    other = ScaledAdam(resumed.named_parameters(), lr=0.05, clipping_scale=1.5, clipping_update_period=8)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer, 21, 30)
    train(resumed, other, 21, 30)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters()))


@pytest.mark.usefixtures("either_way")
def test_stacking_changes_nothing_for_a_parameter():
    together, alone = small_model(), small_model()
    optimizers = [ScaledAdam([param], lr=0.05) for param in alone.parameters()]
    optimizer = ScaledAdam(together.parameters(), lr=0.05)
    for step in range(12):
        train(together, optimizer, step, 1)
        for param, other in zip(together.parameters(), alone.parameters()):
            other.grad = param.grad.clone()
        for single in optimizers:
            single.step()
    for a, b in zip(together.parameters(), alone.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("either_way")
def test_memory_format_changes_nothing():
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 5)
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    for model in (plain, last):
        train(model, ScaledAdam(model.parameters(), lr=0.05), 0, 6)
    torch.testing.assert_close(last.weight, plain.weight, rtol=1e-6, atol=1e-7)


def test_steps_are_proportional_to_the_size_of_the_parameter():
    small, large = nn.Parameter(torch.full((8,), 0.01)), nn.Parameter(torch.full((8,), 1.0))
    optimizer = ScaledAdam([small, large], lr=0.1)
    for param in (small, large):
        param.grad = torch.linspace(-1.0, 1.0, 8)
    before = [param.detach().clone() for param in (small, large)]
    optimizer.step()
    torch.testing.assert_close((large - before[1]).detach(), 100.0 * (small - before[0]).detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("either_way")
def test_no_gradient_counts_as_zero():
    missing, zero = small_model(), small_model()
    optimizers = [ScaledAdam(model.parameters(), lr=0.05) for model in (missing, zero)]
    for step in range(6):
        for model, optimizer in zip((missing, zero), optimizers):
            train(model, optimizer, step, 1)
            model[1].weight.grad = None if model is missing else torch.zeros_like(model[1].weight)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(missing.parameters(), zero.parameters()))


@pytest.mark.usefixtures("either_way")
def test_infinite_gradients_are_dropped_and_reported(caplog):
    model = small_model()
    optimizer = ScaledAdam(model.named_parameters(), lr=0.01, clipping_scale=2.0, clipping_update_period=9)
    train(model, optimizer, 0, 12)
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    model[1].weight.grad[0, 0] = float("inf")
    optimizer.step()
    assert all(param.isfinite().all() for param in model.parameters())
    with caplog.at_level(logging.INFO):
        train(model, optimizer, 20, 7)
    assert "percent clipped 11.1; smallest factor 0 with" in caplog.text
    assert caplog.text.count("from 1.weight") == 1


@pytest.mark.usefixtures("either_way")
def test_gradients_that_stay_non_finite_are_an_error():
    model = small_model()
    optimizer = ScaledAdam(model.named_parameters(), lr=0.01, clipping_scale=2.0, clipping_update_period=4)
    with pytest.raises(RuntimeError, match="half of the last 4 gradient norms are not finite"):
        for _ in range(5):
            for param in model.parameters():
                param.grad = torch.full_like(param, float("nan"))
            optimizer.step()


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("max_rms", [1.1, 1.4])
def test_scalars_stay_within_their_bound_and_tensors_below_their_size(max_rms):
    scalar, tensor = nn.Parameter(torch.tensor(0.9)), nn.Parameter(torch.ones(10))
    rules = SizeRules(scalar_lr_scale=1000.0, scalar_max=1.0, param_max_rms=max_rms)
    optimizer = ScaledAdam([scalar, tensor], lr=1e-4, sizes=rules)
    for _ in range(200):
        scalar.grad, tensor.grad = torch.tensor(-1.0), -torch.ones(10)
        optimizer.step()
    assert scalar.item() == 1.0
    assert tensor.detach().square().mean().sqrt().item() == pytest.approx(max_rms, rel=0.02)


def test_groups_have_their_own_settings():
    model = small_model()
    groups = [{"params": model[0].named_parameters(), "lr": 0.0}, {"params": model[1].parameters()}]
    optimizer = ScaledAdam(groups, lr=0.05)
    before = copy.deepcopy(model)
    train(model, optimizer, 0, 3)
    assert torch.equal(model[0].weight, before[0].weight)
    assert not torch.equal(model[1].weight, before[1].weight)


def test_no_parameters_is_an_error():
    with pytest.raises(ValueError, match="got no parameters"):
        ScaledAdam([])


def model_of_two_groups():
    """With tensors of several lines, some of which end in the midst of one, and changes that begin at zero."""
    model = small_model()
    model.append(nn.Conv2d(3, 8, 5).to(memory_format=torch.channels_last))
    model.extend([nn.Linear(70, 40), nn.Linear(70, 40), nn.LSTM(16, 16)])
    model.append(nn.Linear(9, 60, bias=False))
    nn.init.zeros_(model[-1].weight)
    return model


def optimizer_of_two_groups(model):
    named = list(model.named_parameters())
    groups = [{"params": named[:-1]}, {"params": named[-1:], "param_min_rms": 0.05}]
    return ScaledAdam(groups, lr=0.02, clipping_scale=1.2, clipping_update_period=10)


def step_with_faults(model, optimizer, step):
    """Some gradients are missing, large or infinite."""
    generator = torch.Generator().manual_seed(step)
    for index, param in enumerate(model.parameters()):
        param.grad = torch.randn(param.shape, generator=generator) * (50.0 if step % 17 == 16 else 1.0)
        if (index + step) % 11 == 3:
            param.grad = None
        elif step == 33 and index == 5:
            param.grad.view(-1)[0] = float("inf")
    optimizer.step()


def test_all_together_steps_as_size_by_size_and_states_go_from_one_to_the_other(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    models = [model_of_two_groups() for _ in range(2)]
    optimizers = [optimizer_of_two_groups(model) for model in models]
    reports = []
    for together, model, optimizer in zip((False, True), models, optimizers):
        monkeypatch.setattr(stacked_parameters, "has_cache", lambda device, together=together: not together)
        for step in range(110):
            step_with_faults(model, optimizer, step)
        reports.append([record.message.split("; smallest")[1:] for record in caplog.records])
        caplog.clear()
    same_state(*[optimizer.state_dict() for optimizer in optimizers])
    assert reports[0] == reports[1] and any("factor 0 with" in part for one in reports[0] for part in one)
    others = [optimizer_of_two_groups(model) for model in models]
    for together, model, optimizer, other in zip((True, False), models, optimizers, others):
        monkeypatch.setattr(stacked_parameters, "has_cache", lambda device, together=together: not together)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for step in range(110, 220):
            step_with_faults(model, other, step)
    same_state(*[optimizer.state_dict() for optimizer in others])
    for (name, one), two in zip(models[0].named_parameters(), models[1].parameters()):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, msg=name)


def same_state(one, two):
    assert one["param_groups"] == two["param_groups"] and list(one["state"]) == list(two["state"])
    for first, second in zip(one["state"].values(), two["state"].values()):
        assert sorted(first) == sorted(second) and first["step"] == second["step"]
        for name, value in first.items():
            if name not in ("step", "worst_clip", "scale_grads"):
                torch.testing.assert_close(value, second[name], rtol=1e-3, atol=1e-5, msg=name)
            elif name != "step":
                assert value.shape == second[name].shape and second[name].is_contiguous()


class Operations(TorchDispatchMode):
    """Names of the operations that are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("as_on_a_device")
def test_on_a_device_more_parameters_are_no_more_operations_and_none_waits():
    counts = []
    for copies in (1, 4):
        model = nn.ModuleList([small_model() for _ in range(copies)])
        optimizer = ScaledAdam(model.named_parameters(), lr=0.02, clipping_scale=1.2, clipping_update_period=10)
        train(model, optimizer, 0, 12)
        for param in model.parameters():
            param.grad = torch.randn_like(param)
        with Operations() as operations:
            optimizer.step()
        assert not any("_local_scalar_dense" in name or "nonzero" in name for name in operations.names)
        counts.append(len(operations.names))
    assert counts[0] == counts[1] < 100
