"""A system of one folder and a loss of one file that nobody has foreseen: the loop is told nothing but the contract."""

import copy
import dataclasses
import importlib
import json
import logging
import sys

import pytest
import torch
from synthetic_codes import ALONE, Killed, killed_after

import icefall_discrete.losses
from icefall_discrete.base import random_state
from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.training.averages import saved_epochs
from icefall_discrete.training.optimization import RateSchedule
from icefall_discrete.training.train_config import TrainConfig
from icefall_discrete.training.trainer import Trainer
from icefall_discrete.training.training_data import TrainingData, Unit

SYSTEM = """
import dataclasses

import torch
from torch import nn

from icefall_discrete.losses.smoothed_cross_entropy import smoothed_cross_entropy
from icefall_discrete.training.system import Losses, System


@dataclasses.dataclass(frozen=True)
class Config:
    dim: int = 4
    num_classes: int = 3
    dropout: float = 0.1


def build(config):
    return ToySystem(nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.dim, config.num_classes)))


class ToySystem(System):
    def prepare(self, batch, device):
        return batch["features"].to(device), batch["classes"].to(device)

    def losses(self, prepared, step):
        features, classes = prepared
        logits = self.network(features.mean(dim=1))
        found = smoothed_cross_entropy(logits, classes, 0.0)
        wrong = (logits.argmax(dim=1) != classes).sum()
        return Losses(found.sum(), {"errors": wrong}, torch.tensor(len(classes)), found.isfinite(), found.mean())

    def figures(self, batches):
        prepared = [self.prepare(batch, "cpu") for batch in batches]
        wrong = [self.network(x.mean(dim=1)).argmax(dim=1) != y for x, y in prepared]
        return {"error_rate": 100.0 * float(torch.cat(wrong).float().mean())}
"""
LOSS = """
import torch.nn.functional as F


def smoothed_cross_entropy(logits, classes, smoothing):
    return F.cross_entropy(logits, classes, reduction="none", label_smoothing=smoothing)
"""
UTTERANCES = Unit("utterances", "utterances")
NUM_BATCHES, BATCH = 6, 5


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The module of the toy system, imported from a folder of its own, and its loss from another."""
    losses = tmp_path / "losses"
    losses.mkdir()
    (losses / "smoothed_cross_entropy.py").write_text(LOSS)
    monkeypatch.setattr(icefall_discrete.losses, "__path__", [*icefall_discrete.losses.__path__, str(losses)])
    folder = tmp_path / "systems" / "toy_classifier"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "system.py").write_text(SYSTEM)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield importlib.import_module("toy_classifier.system")
    for name in [
        name for name in sys.modules if name.startswith("toy_classifier") or name.endswith("smoothed_cross_entropy")
    ]:
        del sys.modules[name]


def make_batch(epoch, number):
    generator = torch.Generator().manual_seed(100 * epoch + number)
    classes = torch.randint(3, (BATCH,), generator=generator)
    features = torch.randn(BATCH, 7, 4, generator=generator)
    features[torch.arange(BATCH), :, classes] += 1.5
    names = [f"cut-{epoch}-{number}-{row}" for row in range(BATCH)]
    return {"cut_ids": names, "features": features, "classes": classes}


def batches_from(epoch, start):
    return [make_batch(epoch, number) for number in range(start, NUM_BATCHES)]


DATA = TrainingData(
    train_batches=batches_from,
    epoch_amount=NUM_BATCHES * BATCH,
    valid_batches=lambda: batches_from(99, 0),
    figure_batches=lambda: batches_from(98, 0),
    amount_of=lambda batch: len(batch["cut_ids"]),
    unit=UTTERANCES,
)


def make_trainer(toy, folder, **changes):
    settings = {"num_epochs": 4, "decode_interval": 1, "tensorboard": False, "log_interval": 2, **changes}
    folder.mkdir(exist_ok=True)
    random_state.seed_everything(7)
    system = toy.build(toy.Config())
    optimizer = torch.optim.Adam(system.parameters())
    schedule = RateSchedule(optimizer, lambda step: 0.05 / step**0.5)
    return Trainer(system, optimizer, schedule, TrainConfig(**settings), folder, ALONE, {"system": "toy"})


def weights_of(trainer):
    return torch.cat([value.flatten() for value in trainer.model.state_dict().values()])


def test_it_learns_and_tells_what_it_learnt(toy, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        summary = make_trainer(toy, tmp_path).fit(DATA)
    records = summary["epochs"]
    assert json.loads((tmp_path / "train.json").read_text()) == summary and summary["system"] == "toy"
    assert records[-1]["valid"]["loss"] < 0.8 * records[0]["valid"]["loss"]
    assert records[-1]["error_rate"] < 20 and records[-1]["valid"]["errors"] < 0.2
    assert records[0]["utterances"] == NUM_BATCHES * BATCH and records[0]["utterances_per_sec"] > 0
    assert records[1]["lr"] == 0.05 / (2 * NUM_BATCHES) ** 0.5
    assert "Epoch 1 of 4: 30 utterances." in caplog.text and "utterances/s, epoch ends in" in caplog.text


@pytest.mark.parametrize("kill_after, save_every", [(1, 1), (8, 3), (13, 100)])
def test_killed_and_resumed_is_the_same_as_uninterrupted(toy, tmp_path, kill_after, save_every):
    whole = make_trainer(toy, tmp_path / "whole")
    expected = whole.fit(DATA)
    with pytest.raises(Killed):
        make_trainer(toy, tmp_path / "parts", save_every_n=save_every).fit(killed_after(DATA, kill_after))
    resumed = make_trainer(toy, tmp_path / "parts", save_every_n=save_every)
    found = resumed.fit(DATA)
    assert [record["train"] for record in found["epochs"]] == [record["train"] for record in expected["epochs"]]
    assert torch.equal(weights_of(resumed), weights_of(whole))


def test_gradients_are_of_the_mean_and_shortened(toy, tmp_path):
    trainer = make_trainer(toy, tmp_path, num_epochs=1, max_grad_norm=0.1)
    one_batch = dataclasses.replace(DATA, train_batches=lambda epoch, start: [make_batch(1, 0)][start:])
    by_hand = copy.deepcopy(trainer.system)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.05)
    noise = torch.get_rng_state()
    trainer.fit(one_batch)
    torch.set_rng_state(noise)
    features, classes = by_hand.prepare(make_batch(1, 0), "cpu")
    torch.nn.functional.cross_entropy(by_hand.network(features.mean(dim=1)), classes).backward()
    assert torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.1) > 0.1
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(by_hand.parameters(), trainer.system.parameters()))


def test_batches_of_a_step_in_turn_are_a_batch_of_all(toy, tmp_path):
    parts = [make_batch(1, number) for number in range(3)]
    joined = {name: torch.cat([part[name] for part in parts]) for name in ("features", "classes")}
    joined["cut_ids"] = [name for part in parts for name in part["cut_ids"]]
    found = []
    for batches in (parts, [joined]):
        # Adam forgets how long gradients are, clipping does not.
        settings = {"num_epochs": 1, "accum_grad": len(batches), "max_grad_norm": 0.1}
        trainer = make_trainer(toy, tmp_path / str(len(batches)), **settings)
        trainer.optimizer = torch.optim.SGD(trainer.system.parameters(), lr=1.0)
        trainer.system.network[0].p = 0.0
        before = weights_of(trainer)
        trainer.fit(dataclasses.replace(DATA, train_batches=lambda epoch, start, batches=batches: batches))
        found.append(weights_of(trainer) - before)
    assert float(found[1].norm()) > 0.01
    assert torch.allclose(*found, rtol=1e-4, atol=1e-7)


def test_patience_ends_it_and_the_best_weights_are_kept(toy, tmp_path):
    trainer = make_trainer(toy, tmp_path, num_epochs=9, best_by="error_rate", patience=2, keep_epochs=1)
    rates = iter([40.0, 30.0, 35.0, 30.0, 1.0])
    trainer.system.figures = lambda batches: {"error_rate": next(rates)}
    summary = trainer.fit(DATA)
    assert (summary["stopped_by"], summary["num_epochs"], summary["best_valid_epoch"]) == ("patience", 4, 2)
    assert saved_epochs(tmp_path) == [2, 4]
    again = make_trainer(toy, tmp_path, num_epochs=9, best_by="error_rate", patience=2, keep_epochs=1)
    assert again.fit(DATA)["stopped_by"] == "patience"


def test_without_validation_no_epoch_is_the_best(toy, tmp_path, caplog):
    unvalidated = dataclasses.replace(DATA, valid_batches=tuple)
    with caplog.at_level(logging.INFO):
        summary = make_trainer(toy, tmp_path / "none", decode_interval=0, patience=1).fit(unvalidated)
    assert (summary["best_valid_epoch"], summary["num_epochs"]) == (None, 4)
    assert "Epoch 4, trained in" in caplog.text
    make_trainer(toy, tmp_path / "wrong", num_epochs=1, best_by="wer").fit(DATA)
    assert "best_by is 'wer', but epochs are measured by loss, errors, error_rate" in caplog.text


def test_a_loss_that_is_not_finite_names_its_cut(toy, tmp_path):
    def with_nan(epoch, start):
        batch = make_batch(epoch, 0)
        batch["features"][3] = float("nan")
        return [batch]

    trainer = make_trainer(toy, tmp_path, max_bad_batches=0)
    with pytest.raises(RuntimeError, match=r"the loss is not finite \(cuts cut-1-0-3\).*lower the learning rate"):
        trainer.fit(dataclasses.replace(DATA, train_batches=with_nan))
    (record,) = [json.loads(line) for line in (tmp_path / "bad-batches.jsonl").read_text().splitlines()]
    assert load_checkpoint(tmp_path / record["saved"])["batches"][0]["cut_ids"][3] == "cut-1-0-3"


def test_what_happens_between_steps(toy, tmp_path):
    trainer, told = make_trainer(toy, tmp_path, num_epochs=1), []
    trainer.system.before_step = told.append
    trainer.fit(DATA)
    assert told == list(range(NUM_BATCHES))
