"""Neural language models: what they learn, how their loss counts, and that an interrupted training is the same."""

import dataclasses

import pytest
import torch

from icefall_discrete.base.settings import to_dict
from icefall_discrete.lm.folder import WEIGHTS
from icefall_discrete.lm.neural import MODELS, NeuralLmConfig, TransformerLm
from icefall_discrete.systems.language_model import training as lm_training
from icefall_discrete.systems.language_model.system import batches_of, sentence_losses
from icefall_discrete.systems.language_model.training import NeuralLmTraining, NeuralTrainConfig

V = 9
SHAPE = NeuralLmConfig(lm_dim=16, lm_layers=2, lm_heads=2, lm_context=5, lm_dropout=0.1)
CPU = torch.device("cpu")
# Each label is followed by the next one, except that a sentence may end anywhere.
RISING = [list(range(first, last)) for first in range(3, 6) for last in range(first + 1, V)] * 4


def make(kind, seed=0):
    torch.manual_seed(seed)
    return MODELS[kind](SHAPE, V)


def trainer(kind, folder, epochs, patience=99):
    config = NeuralTrainConfig(
        lm_num_epochs=epochs, lm_patience=patience, lm_lr=0.02, lm_warmup_batches=10, lm_batch_labels=60
    )
    return NeuralLmTraining({"lm_type": kind, "vocab_size": V, "model": to_dict(SHAPE)}, config, folder, CPU)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_loss_is_that_of_each_sentence_alone(kind):
    model = make(kind).eval()
    sentences = [[3], [4, 5, 6, 7], [], [5, 5]]
    expected = 0.0
    for sentence in sentences:
        log_probs = model(torch.tensor([[1, *sentence]])).log_softmax(dim=2)[0]
        expected -= sum(log_probs[place, label].item() for place, label in enumerate([*sentence, 1]))
    for batch_labels in (1, 6, 100):
        found = [sentence_losses(model, batch) for batch in batches_of(sentences, batch_labels)]
        assert sum(loss.item() for loss, _ in found) == pytest.approx(expected, abs=1e-3)
        assert sum(count for _, count in found) == 11


def test_batches_hold_every_sentence_once_and_no_more_than_allowed():
    batches = batches_of(RISING, 30)
    assert sorted(tuple(label for label in row if label) for batch in batches for row in batch.tolist()) == sorted(
        map(tuple, RISING)
    )
    assert all(len(batch) == 1 or batch.size(0) * (batch.size(1) + 1) <= 30 for batch in batches)
    assert len(batches) < len(RISING) / 3


def test_a_transformer_looks_back_as_far_as_it_says():
    model = make("transformer").eval()
    labels = torch.randint(3, V, (1, 20))
    other = labels.clone()
    other[0, 4] = 3 if labels[0, 4] != 3 else 4
    changed = ((model(labels) - model(other)).abs().amax(dim=2)[0] > 1e-6).nonzero().flatten().tolist()
    assert changed == list(range(4, 4 + 2 * (SHAPE.lm_context - 1) + 1))  # two layers, one after the other
    assert isinstance(model, TransformerLm)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_training_learns_the_order_of_labels(kind, tmp_path):
    found = trainer(kind, tmp_path, 12).fit(RISING, RISING[:18])
    assert found["dev_perplexity"] == min(found["epoch_perplexities"]) < 3.2 < 6.0 < found["epoch_perplexities"][0]
    assert len(found["epoch_perplexities"]) == 12


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_training_that_was_interrupted_is_the_same_training(kind, tmp_path):
    whole = trainer(kind, tmp_path / "whole", 4).fit(RISING, RISING[:18])
    trainer(kind, tmp_path / "parts", 2).fit(RISING, RISING[:18])
    torch.manual_seed(123)
    assert trainer(kind, tmp_path / "parts", 4).fit(RISING, RISING[:18]) == whole


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_training_that_was_killed_within_an_epoch_is_the_same_training(kind, tmp_path, monkeypatch):
    whole = trainer(kind, tmp_path / "whole", 3).fit(RISING, RISING[:18])
    settings, shuffled = lm_training.loop_settings, lm_training.shuffled

    def killed(batches, seed, start):
        for place, batch in enumerate(shuffled(batches, seed, start)):
            if seed == 44 and place == 2:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(lm_training, "shuffled", killed)
        patch.setattr(
            lm_training, "loop_settings", lambda config: dataclasses.replace(settings(config), save_every_n=1)
        )
        trainer(kind, tmp_path / "parts", 3).fit(RISING, RISING[:18])
    torch.manual_seed(123)
    noise = torch.get_rng_state()
    assert trainer(kind, tmp_path / "parts", 3).fit(RISING, RISING[:18]) == whole
    assert torch.equal(torch.get_rng_state(), noise)
    assert (tmp_path / "parts" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_a_training_that_an_earlier_version_began_is_named_and_kept(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"state")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is of a training that an earlier version began.*aside"):
        trainer("lstm", tmp_path, 1).fit(RISING, RISING[:18])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_loss_that_is_not_finite_ends_in_one_sentence(tmp_path):
    training = trainer("lstm", tmp_path, 3)
    training._config = dataclasses.replace(training._config, lm_lr=1e38)
    with pytest.raises(RuntimeError, match=r"the loss is not finite \(cuts of labels \d.*lower --lm-lr"):
        training.fit(RISING, RISING[:18])


def test_patience_ends_it(tmp_path):
    found = trainer("lstm", tmp_path, 30, patience=2).fit(RISING, [[8, 7, 6, 5, 4, 3]])
    perplexities = found["epoch_perplexities"]
    assert len(perplexities) < 30 and min(perplexities[-2:]) > min(perplexities) == perplexities[-3]


def test_impossible_settings_are_named():
    with pytest.raises(ValueError, match="lm_dim is 10, expected a multiple of lm_heads, 4"):
        NeuralLmConfig(lm_dim=10)
    with pytest.raises(ValueError, match="lm_patience is 0"):
        NeuralTrainConfig(lm_patience=0)
