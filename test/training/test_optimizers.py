"""Optimisers and schedules that a recipe can choose."""

import dataclasses

import pytest
import torch
from synthetic_codes import make_trainer

from icefall_discrete.base.settings import from_dict
from icefall_discrete.training.eden import Eden
from icefall_discrete.training.optimizers.adam import AdamConfig, cosine_rate, linear_rate, tri_stage_rate, warmup_rate
from icefall_discrete.training.scaled_adam import ScaledAdam
from icefall_discrete.training.train_config import TrainConfig

ENCODER = {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 24}


def built(train):
    weight = torch.nn.Parameter(torch.ones(3, 2))
    return train.optimizer.build([("weight", weight)], train)


def test_the_rate_rises_to_its_peak_and_falls_with_the_root_of_the_step():
    # lr w^0.5 min(n^-0.5, n w^-1.5), ESPnet's warmuplr, at w = 15000 and lr = 0.006.
    for step, expected in ((1, 4.0e-7), (7500, 0.003), (15000, 0.006), (60000, 0.003)):
        assert warmup_rate(step, 0.006, 15000) == pytest.approx(expected)
        assert expected == pytest.approx(0.006 * 15000**0.5 * min(step**-0.5, step * 15000**-1.5))


def test_by_default_it_is_scaled_adam_with_eden_by_the_settings_of_before():
    optimizer, schedule = built(TrainConfig(base_lr=0.03, lr_batches=70.0, lr_epochs=2.0, clipping_scale=1.5))
    assert isinstance(optimizer, ScaledAdam) and isinstance(schedule, Eden)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["clipping_scale"]) == (0.03, 1.5)
    assert (schedule.lr_batches, schedule.lr_epochs, schedule.warmup_batches) == (70.0, 2.0, 500.0)


@pytest.mark.parametrize("decoupled, kind", [(False, torch.optim.Adam), (True, torch.optim.AdamW)])
def test_adam_is_chosen_by_name_with_settings_of_its_own(decoupled, kind):
    said = {"kind": "adam", "peak_lr": 0.002, "warmup_steps": 4, "weight_decay": 0.01, "decoupled": decoupled}
    optimizer, schedule = built(from_dict(TrainConfig, {"optimizer": said}, "recipe.json"))
    assert type(optimizer) is kind and optimizer.param_groups[0]["weight_decay"] == 0.01
    schedule.step_batch(2)
    assert schedule.get_last_lr() == [0.001]


@pytest.mark.parametrize("patience, expected", [(0, [1.0, 0.8, 0.8, 0.64, 0.64]), (1, [1.0, 1.0, 1.0, 0.8, 0.8])])
def test_newbob_anneals_where_the_validation_loss_hardly_fell(patience, expected):
    said = {"kind": "adam", "peak_lr": 1.0, "schedule": "newbob", "annealing_patience": patience}
    schedule = built(from_dict(TrainConfig, {"optimizer": said}, "recipe.json"))[1]
    rates = []
    # The first has none before it, the second falls by 0.2 % of it, the third is better, the fourth is worse, the
    # fifth is better than the fourth alone.
    for step, loss in enumerate((10.0, 9.98, 5.0, 7.0, 6.0), start=1):
        schedule.step_batch(step)
        schedule.step_validation(loss)
        rates += schedule.get_last_lr()
        other = built(from_dict(TrainConfig, {"optimizer": said}, "recipe.json"))[1]
        other.load_state_dict(schedule.state_dict())
        assert other.get_last_lr() == schedule.get_last_lr()
        schedule = other
    assert rates == pytest.approx(expected)


def test_newbob_without_a_validation_loss_is_refused():
    schedule = built(from_dict(TrainConfig, {"optimizer": {"kind": "adam", "schedule": "newbob"}}, "recipe.json"))[1]
    with pytest.raises(ValueError, match=r"schedule is newbob, .* but the dev set gave none; give a dev set"):
        schedule.step_validation(None)


def test_a_constant_rate_is_chosen_by_name():
    said = {"kind": "adam", "peak_lr": 0.002, "schedule": "constant"}
    schedule = built(from_dict(TrainConfig, {"optimizer": said}, "recipe.json"))[1]
    for step in (1, 7, 100000):
        schedule.step_batch(step)
        assert schedule.get_last_lr() == [0.002]


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match=r"betas is \[0.9\], expected two numbers"):
        AdamConfig(betas=(0.9,))
    with pytest.raises(ValueError, match=r"optimizer.*unknown kind 'adma'; did you mean adam"):
        from_dict(TrainConfig, {"optimizer": "adma"}, "recipe.json")


@pytest.mark.parametrize(
    "schedule, rates",
    [
        ({"warmup_steps": 6}, None),
        # No loss falls by all of it: from the second epoch on each halves the rate.
        ({"schedule": "newbob", "improvement_threshold": 1.0, "annealing_factor": 0.5}, [0.01, 0.01, 0.005]),
    ],
)
def test_a_recogniser_trains_with_adam_and_goes_on_where_it_stopped(corpus_dir, tmp_path, schedule, rates):
    adam = {"kind": "adam", "peak_lr": 0.01, **schedule}

    def trained(folder, num_epochs):
        trainer, data = make_trainer(
            corpus_dir,
            tmp_path / folder,
            model__encoder=ENCODER,
            model__inner_ctc_stacks=[],
            loss__inner_ctc_loss_scale=0.0,
            train__optimizer=adam,
            train__num_epochs=num_epochs,
            train__max_grad_norm=5.0,
        )
        return trainer.fit(data)["epochs"], trainer.model.state_dict()

    num_epochs = len(rates or ()) or 2
    epochs, weights = trained("whole", num_epochs)
    assert epochs[-1]["train"]["ctc"] < epochs[0]["train"]["ctc"]
    assert rates is None or [record["lr"] for record in epochs] == rates
    trained("stopped", num_epochs - 1)
    resumed = trained("stopped", num_epochs)[1]
    assert all(torch.equal(value, resumed[name]) for name, value in weights.items())


def test_tri_stage_rises_stays_and_falls_exponentially():
    config = AdamConfig(schedule="tri_stage", peak_lr=1.0, warmup_steps=10, hold_steps=40, total_steps=100)
    rates = {step: tri_stage_rate(step, config) for step in range(1, 121)}
    assert rates[1] == pytest.approx(0.01 + 0.099) and rates[10] == rates[11] == rates[50] == 1.0
    assert rates[75] == pytest.approx(0.05**0.5) and rates[100] == rates[120] == pytest.approx(0.05)
    with pytest.raises(
        ValueError, match="schedule tri_stage rises and stays for 50 steps, and total_steps is 50; set it"
    ):
        dataclasses.replace(config, total_steps=50)


def test_the_cosine_rate_rises_and_falls_to_nothing():
    rates = [cosine_rate(step, 2.0, 10, 30) for step in (1, 10, 15, 20, 30, 40)]
    assert rates == pytest.approx([0.2, 2.0, 1.0 + 0.5**0.5, 1.0, 0.0, 0.0])


def test_the_linear_rate_rises_and_falls_to_nothing():
    rates = [linear_rate(step, 2.0, 10, 30) for step in (1, 10, 20, 30, 40)]
    assert rates == pytest.approx([0.2, 2.0, 1.0, 0.0, 0.0])
