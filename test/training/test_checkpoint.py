import collections
import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from icefall_discrete.base import random_state
from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.training.averages import (
    AverageConfig,
    RunningAverage,
    average_epochs,
    epoch_path,
    mean_of,
    remove_old_checkpoints,
    saved_epochs,
    span_average,
    training_checkpoints,
)
from icefall_discrete.training.progress import Progress


class Counting(nn.Module):
    """A weight, and a buffer that is not floating point."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 2))
        self.register_buffer("count", torch.tensor(0))

    def move(self, generator):
        with torch.no_grad():
            self.weight.copy_(torch.randn(3, 2, generator=generator) * 1e3)
            self.count += 1


def train_epochs(exp_dir, num_epochs, samples_per_epoch):
    """Write epoch-N.pt as the trainer does; return all sampled weights by epoch."""
    module, generator, sampled = Counting(), torch.Generator().manual_seed(0), {}
    average = RunningAverage(module)
    for epoch in range(1, num_epochs + 1):
        sampled[epoch] = []
        for _ in range(samples_per_epoch):
            module.move(generator)
            average.update(module)
            sampled[epoch].append(module.weight.detach().clone())
        state = {"model": module.state_dict(), "model_avg": average.state_dict(), "epoch": epoch, "step": 10 * epoch}
        save_checkpoint(epoch_path(exp_dir, epoch), state)
    return sampled


def test_values_survive_exactly_and_no_code_is_run_at_load(tmp_path):
    state = {
        "numbers": [0.1, -1e-300, math.inf, 2**40, True, None, "text", -(2**63), b"bytes", 2**100],
        "nested": {"lr": 1 / 3, 0: {"betas": (0.9, 0.98), "tensor": torch.arange(3)}},
        "ordered": collections.OrderedDict(b=1, a=(), c=[]),
        "flags": {False: "no", None: "none", 2: {1, 2}},
    }
    save_checkpoint(tmp_path / "a.pt", state)
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded["numbers"] == state["numbers"] and loaded["numbers"][4] is True
    assert loaded["nested"]["lr"] == 1 / 3 and loaded["nested"][0]["betas"] == (0.9, 0.98)
    assert torch.equal(loaded["nested"][0]["tensor"], torch.arange(3))
    assert list(loaded["ordered"].items()) == list(state["ordered"].items())
    assert loaded["flags"] == state["flags"]
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pt"]


def all_kinds_of_tensors():
    base = torch.arange(24, dtype=torch.float32)
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]
    tensors = {str(kind): (torch.randn(3, 4) * 9).to(kind) for kind in kinds}
    parameter = nn.Parameter(torch.randn(4, 2))
    return {
        **tensors,
        "bytes": torch.get_rng_state(),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "whole": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "base": base,
        "view": base[4:16].view(3, 4).t(),
        "steps": base[::5],
        "expanded": torch.tensor([1.5]).expand(4, 3),
        "parameter": parameter,
        "transposed": parameter.detach().t(),
        "special": torch.tensor([math.nan, math.inf, -0.0]),
        "channels": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }


def raw(tensor):
    """The bits of the values, in order."""
    contiguous = tensor.detach().contiguous()
    same_size = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[contiguous.element_size()]
    return (contiguous.to(torch.uint8) if contiguous.dtype == torch.bool else contiguous.view(same_size)).tolist()


@pytest.mark.parametrize("packed", [True, False])
def test_tensors_are_the_same_bit_for_bit(tmp_path, packed):
    tensors = all_kinds_of_tensors()
    if packed:
        save_checkpoint(tmp_path / "a.pt", {"tensors": tensors})
    else:
        torch.save({"tensors": tensors}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    found = load_checkpoint(tmp_path / "a.pt")["tensors"]
    assert list(found) == list(tensors)
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype and found[name].stride() == value.stride(), name
        assert found[name].dim() == value.dim() and raw(found[name]) == raw(value), name
    found["base"][5] = -1.0
    assert found["view"][1, 0] == -1.0 and found["steps"][1] == -1.0
    torch.set_rng_state(found["bytes"])


def test_what_training_saves_comes_back(tmp_path):
    """An optimiser with its steps, and the states of all random generators."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "noise": [random_state.capture()]}
    save_checkpoint(tmp_path / "a.pt", state)
    drawn = torch.rand(3), np.random.rand(3).tolist(), random.random()
    found = load_checkpoint(tmp_path / "a.pt")
    random_state.restore(found["noise"][0])
    assert torch.equal(torch.rand(3), drawn[0]) and (np.random.rand(3).tolist(), random.random()) == drawn[1:]
    other = nn.Linear(3, 2)
    resumed = torch.optim.AdamW(other.parameters(), lr=0.5)
    other.load_state_dict(found["model"])
    resumed.load_state_dict(found["optimizer"])
    for one, optim in ((model, optimizer), (other, resumed)):
        optim.zero_grad()
        one(torch.ones(1, 3)).sum().backward()
        optim.step()
    assert torch.equal(model.weight, other.weight)


def test_an_object_in_a_checkpoint_is_refused(tmp_path):
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint of this program: it names torch\.nn"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_truncated_or_missing_checkpoint_is_named(tmp_path):
    save_checkpoint(tmp_path / "a.pt", {"x": torch.zeros(1000)})
    whole = (tmp_path / "a.pt").read_bytes()
    for size in (0, 3, 500, len(whole) - 1):
        (tmp_path / "a.pt").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint.*; use another epoch, or train again from"):
            load_checkpoint(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match=r"b\.pt does not exist"):
        load_checkpoint(tmp_path / "b.pt")


@pytest.mark.parametrize("value", [[], {"lr": {"float.hex": 3}}, {"lr": {"float.hex": "0x1p9999"}}])
def test_values_that_no_training_saves(tmp_path, value):
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint of this program"):
        load_checkpoint(tmp_path / "a.pt")


def test_the_running_average_is_the_arithmetic_mean():
    module, generator = Counting(), torch.Generator().manual_seed(0)
    average, seen = RunningAverage(module), []
    for _ in range(7):
        module.move(generator)
        average.update(module)
        seen.append(module.weight.detach().to(torch.float64))
    torch.testing.assert_close(average.weights["weight"], torch.stack(seen).mean(0), rtol=1e-14, atol=0)
    assert int(average.weights["count"]) == 7


@pytest.mark.parametrize("epoch, avg", [(5, 1), (5, 2), (4, 3), (5, 5)])
def test_the_average_of_a_span_is_the_mean_of_its_samples(tmp_path, epoch, avg):
    sampled = train_epochs(tmp_path, 5, 4)
    expected = torch.stack([w.double() for e in range(epoch - avg + 1, epoch + 1) for w in sampled[e]]).mean(0)
    result = average_epochs(tmp_path, epoch, avg, use_averaged_model=True)
    torch.testing.assert_close(result["weight"], expected.float(), rtol=1e-6, atol=0)
    assert result["weight"].dtype == torch.float32 and int(result["count"]) == 4 * epoch


def test_without_the_averaged_model_it_is_the_mean_of_the_last_weights(tmp_path):
    sampled = train_epochs(tmp_path, 4, 3)
    expected = (sampled[2][-1] + sampled[3][-1] + sampled[4][-1]) / 3
    result = average_epochs(tmp_path, 4, 3, use_averaged_model=False)
    torch.testing.assert_close(result["weight"], expected)
    assert torch.equal(average_epochs(tmp_path, 3, 1, use_averaged_model=False)["weight"], sampled[3][-1])


def test_mean_of_keeps_types_and_takes_integers_from_the_last():
    states = [{"w": torch.tensor([k], dtype=torch.float16), "n": torch.tensor(k)} for k in (1, 2, 6)]
    assert mean_of(states)["w"].item() == 3.0 and mean_of(states)["w"].dtype == torch.float16
    assert mean_of(states)["n"].item() == 6


def test_errors_of_averaging_say_what_to_do(tmp_path):
    train_epochs(tmp_path, 2, 1)
    with pytest.raises(ValueError, match="--avg 3 with --epoch 2"):
        average_epochs(tmp_path, 2, 3, True)
    last = load_checkpoint(epoch_path(tmp_path, 2))
    with pytest.raises(ValueError, match="no sample of the weights"):
        span_average(last, last)
    with pytest.raises(ValueError, match="holds epochs 1 to 2"):
        AverageConfig(epoch=3).resolved(saved_epochs(tmp_path), "exp")
    with pytest.raises(ValueError, match="train first"):
        AverageConfig().resolved([], "exp")
    assert AverageConfig(avg=9).resolved(saved_epochs(tmp_path), "exp") == AverageConfig(epoch=2, avg=2)


def test_checkpoints_are_ordered_by_step_and_old_ones_go(tmp_path):
    for step in (5, 100, 20):
        save_checkpoint(tmp_path / f"checkpoint-{step}.pt", {})
    (tmp_path / "checkpoint-copy.pt").write_text("somebody's")
    assert [path.name for path in training_checkpoints(tmp_path)] == [
        "checkpoint-5.pt",
        "checkpoint-20.pt",
        "checkpoint-100.pt",
    ]
    remove_old_checkpoints(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-100.pt",
        "checkpoint-20.pt",
        "checkpoint-copy.pt",
    ]


def test_the_average_is_that_of_the_reference_recipe(tmp_path):
    """Its update: every `period` steps avg = w p / step + avg (step - p) / step; its span: weighted by those steps."""
    period, steps_per_epoch = 3, 12
    module, generator, reference, written = Counting(), torch.Generator().manual_seed(1), None, {}
    average = RunningAverage(module)
    for step in range(1, 4 * steps_per_epoch + 1):
        module.move(generator)
        if step % period == 0:
            average.update(module)
            now = module.weight.detach().double()
            share = period / step
            reference = now * share + (reference * (1.0 - share) if reference is not None else 0.0)
        if step % steps_per_epoch == 0:
            epoch = step // steps_per_epoch
            written[epoch] = (step, reference.clone())
            state = {"model": module.state_dict(), "model_avg": average.state_dict(), "epoch": epoch, "step": step}
            save_checkpoint(epoch_path(tmp_path, epoch), state)
    for epoch, avg in ((4, 1), (4, 3), (3, 2)):
        (end_step, end), (start_step, start) = written[epoch], written[epoch - avg]
        weight = end_step / (end_step - start_step)
        expected = end * weight + start * (1.0 - weight)
        found = average_epochs(tmp_path, epoch, avg, use_averaged_model=True)["weight"]
        torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": "23"}, "'epoch' of its 'progress' is \"23\", expected a whole number above 0"),
        ({"epoch": -3}, "'epoch' of its 'progress' is -3, expected a whole number above 0"),
        ({"epoch": True}, "'epoch' of its 'progress' is true, expected a whole number above 0"),
        ({"batch": -1}, "'batch' of its 'progress' is -1, expected a whole number from 0"),
        ({"total_sec": float("nan")}, "'total_sec' of its 'progress' is NaN, expected a number from 0"),
        ({"epochs": [1]}, "expected a list of objects"),
    ],
)
def test_a_place_in_training_that_is_none_is_refused(change, message):
    progress = Progress()
    with pytest.raises(ValueError, match=re.escape(message)):
        progress.load_state_dict({**Progress().state_dict(), **change})
    assert progress == Progress()
