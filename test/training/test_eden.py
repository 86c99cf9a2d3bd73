import pytest
import torch
from torch import nn

from icefall_discrete.training.eden import Eden


def make(lrs=(0.1,)):
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return Eden(torch.optim.SGD(groups, lr=1.0), lr_batches=100, lr_epochs=4, warmup_batches=10)


def test_shape_of_the_schedule():
    schedule = make((0.1, 0.4))
    schedule.step_batch(0)
    assert schedule.get_last_lr() == pytest.approx([0.05, 0.2])
    schedule.step_batch(5)
    assert schedule.get_last_lr()[0] == pytest.approx(0.1 * 0.75 * 1.0025**-0.25)
    schedule.step_batch(100)
    assert schedule.get_last_lr()[0] == pytest.approx(0.1 * 2**-0.25)
    schedule.step_epoch(4)
    assert schedule.get_last_lr() == pytest.approx([0.1 * 2**-0.5, 0.4 * 2**-0.5])


def test_steps_without_a_number_count():
    schedule = make()
    for _ in range(3):
        schedule.step_batch()
    schedule.step_epoch()
    assert (schedule.batch, schedule.epoch) == (3, 1)


def test_continues_from_its_state_and_keeps_a_new_base_rate():
    first = make()
    first.step_batch(50)
    first.step_epoch(2)
    second = make((0.3,))
    second.load_state_dict(first.state_dict())
    assert second.get_last_lr()[0] == pytest.approx(3 * first.get_last_lr()[0])


def test_a_senseless_setting_is_refused():
    with pytest.raises(ValueError, match="lr_batches 0"):
        Eden(make().optimizer, lr_batches=0, lr_epochs=1)
