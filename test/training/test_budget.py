import math

import pytest

from icefall_discrete.training.budget import TimeBudget
from icefall_discrete.training.progress import Progress


def progress_of(*train_sec, end_of_epoch_sec=5.0, now_sec=0.0):
    """After whole epochs of `train_sec`, each with `end_of_epoch_sec` of validation, and `now_sec` in the next one."""
    epochs = [{"train_sec": seconds} for seconds in train_sec]
    total = sum(train_sec) + end_of_epoch_sec * len(train_sec) + now_sec
    return Progress(epoch=len(train_sec) + 1, epoch_sec=now_sec, total_sec=total, epochs=epochs)


def test_without_a_limit_there_is_always_time():
    assert TimeBudget(0.0).seconds_left(progress_of(1e6)) == math.inf
    assert TimeBudget(0.0).allows_another_epoch(progress_of(1e6))


def test_validation_at_the_end_is_set_aside():
    budget = TimeBudget(2.0)
    assert budget.seconds_left(progress_of(40.0, 40.0)) == pytest.approx(120.0 - 90.0 - 5.0)
    assert not budget.is_spent(progress_of(40.0, 40.0, now_sec=24.9))
    assert budget.is_spent(progress_of(40.0, 40.0, now_sec=25.0))


@pytest.mark.parametrize("limit_sec, allowed", [(104.0, False), (106.0, True)])
def test_another_epoch_begins_if_a_quarter_of_it_fits(limit_sec, allowed):
    assert TimeBudget(limit_sec / 60.0).allows_another_epoch(progress_of(45.0, 40.0, end_of_epoch_sec=2.9)) is allowed


def test_the_first_epoch_always_begins():
    assert TimeBudget(1e-6).allows_another_epoch(Progress())
