import math

import pytest
import torch
from torch import nn

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
        "numbers": [0.1, -1e-300, math.inf, 2**40, True, None, "text"],
        "nested": {"lr": 1 / 3, 0: {"betas": (0.9, 0.98), "tensor": torch.arange(3)}},
    }
    save_checkpoint(tmp_path / "a.pt", state)
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded["numbers"] == state["numbers"]
    assert loaded["nested"]["lr"] == 1 / 3 and loaded["nested"][0]["betas"] == (0.9, 0.98)
    assert torch.equal(loaded["nested"][0]["tensor"], torch.arange(3))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pt"]
    torch.load(tmp_path / "a.pt", weights_only=True)


def test_an_object_in_a_checkpoint_is_refused(tmp_path):
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_truncated_or_missing_checkpoint_is_named(tmp_path):
    save_checkpoint(tmp_path / "a.pt", {"x": torch.zeros(1000)})
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match=r"b\.pt does not exist"):
        load_checkpoint(tmp_path / "b.pt")


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
