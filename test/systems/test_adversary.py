"""Discriminators and their losses against HiFi-GAN's own; a vocoder with an adversarial phase, killed and gone on."""

import json
import math
from pathlib import Path

import pytest
import torch
from synthetic_codes import goes_on_exactly, make_trainer
from toy_speech import write_speech

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.replay import replay
from icefall_discrete.losses.adversarial import deception_loss, discriminator_loss, feature_loss
from icefall_discrete.nn.discriminators import Discriminators
from icefall_discrete.systems.adversary import Adversary, AdversaryConfig
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.training.averages import epoch_path
from icefall_discrete.training.opponents import SideBySide

GOLDEN = json.loads((Path(__file__).parents[1] / "assets" / "hifigan_discriminators_golden.json").read_text())
CPU = torch.device("cpu")
SMALL = {"discriminator_width": 16, "discriminator_periods": (3,), "discriminator_scales": 1, "heard_sec": 0.05}


def adversarial(from_epoch=2, **changes):
    return {"loss__adversary": {**SMALL, "adversary_from_epoch": from_epoch, **changes}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_speech(tmp_path_factory.mktemp("speech"), num_train=6)


def wave(shape, number):
    places = torch.arange(math.prod(shape), dtype=torch.float64)
    return (0.3 * torch.sin(places * (0.7 + 0.01 * number) + number)).float().reshape(shape)


@torch.no_grad()
def set_weights(discriminators):
    for number, conv in enumerate(conv for one in discriminators for conv in [*one.convs, one.conv_post]):
        parametrization = conv.parametrizations.weight
        if hasattr(parametrization, "original"):
            weight = wave(parametrization.original.shape, number)
            parametrization.original.copy_(weight)
            left = wave(weight.shape[:1], number + 1)
            right = weight.flatten(1).t() @ (left / left.norm())
            parametrization[0]._u.copy_(left / left.norm())
            parametrization[0]._v.copy_(right / right.norm())
        else:
            conv.weight = wave(conv.weight.shape, number)
        conv.bias.copy_(wave(conv.bias.shape, number + 2))


def test_scores_and_losses_are_those_of_hifigan():
    discriminators = Discriminators((2, 3, 5, 7, 11), 3, 32).eval()
    set_weights(discriminators)
    recorded, said = (discriminators(wave((2, 600), number)) for number in (3, 40))
    for heard, expected in ((recorded, GOLDEN["recorded_scores"]), (said, GOLDEN["said_scores"])):
        assert [float(one.scores.mean()) for one in heard] == pytest.approx(expected, abs=1e-5)
    scores = [[one.scores for one in heard] for heard in (recorded, said)]
    assert float(discriminator_loss(*scores)) == pytest.approx(GOLDEN["discriminators"], rel=1e-5)
    assert float(deception_loss(scores[1])) == pytest.approx(GOLDEN["deception"], rel=1e-5)
    found = feature_loss([one.layers for one in recorded], [one.layers for one in said])
    assert float(2 * found) == pytest.approx(GOLDEN["features"], rel=1e-5)


def test_each_loss_has_gradients_into_its_own_side_alone():
    adversary = Adversary(AdversaryConfig(adversary_from_epoch=1, **SMALL), 8000, CPU)
    recorded, said = torch.randn(2, 2, 1200)
    said.requires_grad_(True)
    losses = adversary.losses(said, recorded, torch.tensor([1200, 900]))
    (losses["deception"] + losses["features"]).backward(retain_graph=True)
    assert said.grad.abs().sum() > 0 and all(value.grad is None for value in adversary.parameters())
    said.grad = None
    losses["discriminators"].backward()
    assert said.grad is None and all(value.grad is not None for value in adversary.parameters())


def test_pieces_are_of_both_at_the_same_place_and_before_the_end():
    adversary = Adversary(AdversaryConfig(adversary_from_epoch=1, **SMALL), 2000, CPU)
    audio, lens = torch.arange(500.0).repeat(3, 1), torch.tensor([500, 300, 50])
    for _ in range(5):
        said, recorded = adversary.pieces(audio, audio + 1000, lens)
        assert said.shape == (3, 100) and torch.equal(said + 1000, recorded)
        assert bool((said[:2, -1] < lens[:2]).all()) and float(said[2, 0]) == 0.0
    assert adversary.pieces(audio[:, :90], audio[:, :90], lens)[0].shape == (3, 90)


def test_a_training_without_one_is_what_it_was(folder, tmp_path):
    """Nothing is drawn for it: until its epoch comes, weights are those of a training without, bit for bit."""
    weights, records = [], []
    for name, changes in {"without": {}, "later": adversarial(2)}.items():
        trainer, data = make_trainer(folder, tmp_path / name, **changes)
        assert isinstance(trainer.optimizer, SideBySide) == (name == "later")
        records.append(trainer.fit(data)["epochs"])
        weights.append([load_checkpoint(epoch_path(tmp_path / name, epoch))["model"] for epoch in (1, 2)])
    (first, second), (other_first, other_second) = weights
    assert first.keys() == other_first.keys()
    assert all(torch.equal(value, other_first[name]) for name, value in first.items())
    assert not all(torch.equal(value, other_second[name]) for name, value in second.items())
    assert set(records[1][1]["train"]) - set(records[0][1]["train"]) == {"deception", "features", "discriminators"}
    assert set(records[1][0]["train"]) == set(records[0][0]["train"])
    assert set(records[1][1]["valid"]) == set(records[0][1]["valid"])


def test_a_killed_training_goes_on_exactly_with_its_discriminators(folder, tmp_path):
    goes_on_exactly(folder, tmp_path, **adversarial(1))
    states = [load_checkpoint(max((tmp_path / name).glob("checkpoint-*.pt"))) for name in ("whole", "killed")]
    one, other = (state["opponents"] for state in states)
    assert one and all(torch.equal(value, other[name]) for name, value in one.items())
    first, second = (state["optimizer"]["opponents"]["state"] for state in states)
    assert first and all(torch.equal(first[place]["exp_avg"], second[place]["exp_avg"]) for place in first)


def test_discriminators_learn_to_tell():
    adversary = Adversary(AdversaryConfig(adversary_from_epoch=1, **SMALL, discriminator_lr=0.003), 8000, CPU)
    opponents, lens = adversary.opponents(), torch.tensor([400, 400])
    recorded, said = (torch.stack([wave((400,), number), wave((400,), number + 1)]) for number in (3, 40))
    for _ in range(30):
        loss = adversary.losses(said, recorded, lens)["discriminators"]
        loss.backward()
        opponents.optimizer.step()
        opponents.optimizer.zero_grad()
    # Two that know nothing say 1/2 to all, which costs 1/2 each.
    assert float(loss.detach()) < 0.8


def test_a_batch_that_failed_is_done_again(folder, tmp_path):
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe.pop("model_size")
    changed = {"loss": {"adversary": adversarial(1)["loss__adversary"]}}
    settings = TrainSettings.from_layers([(recipe, "recipe"), (changed, "test")])
    trainer, data = make_trainer(folder, tmp_path, **adversarial(1), train__try_largest_batches=False)
    Experiment(tmp_path).start(settings, trainer.system.spec, trainer.system.targets, None)
    found, backward = [], trainer._backward

    def fails_afterwards(batches):
        found.append(backward(batches)[0].sums)
        raise RuntimeError("an operation failed")

    trainer._backward = fails_afterwards
    with pytest.raises(RuntimeError, match="an operation failed"):
        trainer.fit(data)
    saved = next((tmp_path / "bad-batches").iterdir())
    again = replay(tmp_path, saved, "torch", CPU)
    # Singular vectors of spectral norms are one iteration further.
    assert again.parts == pytest.approx({name: found[0][name] for name in again.parts}, rel=1e-3)
    assert "discriminators" in again.parts and again.is_finite


def test_what_is_no_discriminator_is_refused():
    with pytest.raises(ValueError, match="so that there is no discriminator"):
        AdversaryConfig(discriminator_periods=(), discriminator_scales=0)
