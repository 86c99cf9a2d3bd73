import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from synthetic_codes import SPEC, make_trainer
from toy_fits import SMALL_CODEC, SMALL_HUBERT

from icefall_discrete.base.settings import to_dict
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.experiment.replay import replay
from icefall_discrete.lm.neural import NeuralLmConfig
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.codec.trained_codec import TrainedCodecTokenizer
from icefall_discrete.systems.language_model.training import NeuralLmTraining, NeuralTrainConfig
from icefall_discrete.systems.masked_prediction.trained_hubert import TrainedHubertTokenizer
from icefall_discrete.text.pieces import TextEncoder

STAGE = Path(__file__).resolve().parents[2] / "local" / "replay_batch.py"
CPU = torch.device("cpu")
QUICK = {"train__num_epochs": 1, "train__try_largest_batches": False}


def start(corpus_dir, exp_dir):
    recipe = json.loads((corpus_dir / "recipe.json").read_text())
    recipe.pop("model_size")
    codebooks = read_codebooks(corpus_dir / "features" / "codebooks.safetensors")
    settings = TrainSettings.from_dict(recipe, "test")
    Experiment(exp_dir).start(settings, SPEC, PieceTargets(TextEncoder(corpus_dir / "lang" / "bpe.model")), codebooks)


@pytest.fixture(scope="module")
def saved(corpus_dir, tmp_path_factory):
    """An experiment that stopped at its second batch, the file of that batch, and its losses had it not stopped."""
    meters = []
    trainer, data = make_trainer(corpus_dir, tmp_path_factory.mktemp("whole"), **QUICK)
    backward = trainer._backward

    def recorded(batches):
        meters.append(backward(batches))
        return meters[-1]

    trainer._backward = recorded
    trainer.fit(data)

    exp_dir = tmp_path_factory.mktemp("stopped") / "exp"
    start(corpus_dir, exp_dir)
    trainer, data = make_trainer(corpus_dir, exp_dir, **QUICK)
    made, prepare = [], trainer.system.prepare

    def fails_at_the_second(batch, device):
        made.append(batch)
        if len(made) == 2:
            raise RuntimeError("an operation failed")
        return prepare(batch, device)

    with pytest.raises(RuntimeError, match="an operation failed"):
        trainer.system.prepare = fails_at_the_second
        trainer.fit(data)
    (path,) = (exp_dir / "bad-batches").iterdir()
    return exp_dir, path, meters[1][0].sums


def test_a_replay_is_the_step_bit_for_bit(saved):
    exp_dir, path, expected = saved
    for _ in range(2):
        found = replay(exp_dir, path, "torch", CPU)
        assert {"loss": found.loss, **found.parts} == expected
        assert found.is_finite and found.bad_cuts == [] and found.first_bad_module is None
        assert found.gradient_norm > 0 and found.place == {"epoch": 1, "batch": 2, "step": 1}
        assert found.reason == "it raised an error"


def test_a_replay_in_another_number_format(saved):
    exp_dir, path, expected = saved
    found = replay(exp_dir, path, "torch", CPU, "bf16")
    assert found.loss != expected["loss"] and found.loss == pytest.approx(expected["loss"], rel=0.05)


def test_a_replay_names_the_module_and_the_gradients_that_are_not_finite(corpus_dir, tmp_path, monkeypatch, caplog):
    start(corpus_dir, tmp_path)
    trainer, data = make_trainer(corpus_dir, tmp_path, train__max_bad_batches=0, **QUICK)
    name = "encoder.stacks.1.layers.0.feed_forward2.in_proj"
    with torch.no_grad():
        trainer.model.get_submodule(name).bias[0] = float("inf")
    with pytest.raises(RuntimeError, match=r"1 batches were not finite.*local/replay_batch\.py"):
        trainer.fit(data)
    (record,) = [json.loads(line) for line in (tmp_path / "bad-batches.jsonl").read_text().splitlines()]
    found = replay(tmp_path, tmp_path / record["saved"], "torch", CPU)
    assert not found.is_finite and found.first_bad_module == name
    assert found.bad_cuts == record["cut_ids"] and found.reason == record["reason"]
    assert "joiner.output_linear.weight" in found.bad_gradients

    stage = importlib.util.spec_from_file_location("replay_batch", STAGE)
    module = importlib.util.module_from_spec(stage)
    stage.loader.exec_module(module)
    flags = ["--exp-dir", str(tmp_path), "--batch", record["saved"], "--backend", "torch", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["replay_batch.py", *flags])
    with caplog.at_level("INFO"):
        module.main()
    assert f"first output that is not finite: {name}" in caplog.text and caplog.messages[-1] == "not finite"


def train_codec_badly(folder, audio):
    config = dataclasses.replace(SMALL_CODEC, learning_rate=1e12, warmup_steps=0, plain_steps=2)
    TrainedCodecTokenizer("toy", config).fit(audio, folder, 3)


def train_hubert_badly(folder, audio):
    TrainedHubertTokenizer("toy", dataclasses.replace(SMALL_HUBERT, learning_rate=1e12)).fit(audio, folder, 3)


def train_lm_badly(folder, audio):
    settings = {"lm_type": "lstm", "vocab_size": 9, "model": to_dict(NeuralLmConfig(lm_dim=16, lm_layers=1))}
    config = NeuralTrainConfig(lm_lr=1e38, lm_batch_labels=20)
    NeuralLmTraining(settings, config, folder, CPU).fit([[3, 4, 5], [5, 6, 7, 8]] * 9, [[3, 4]])


@pytest.mark.parametrize(
    "train_badly, folder",
    [(train_codec_badly, "training"), (train_hubert_badly, "training/iteration-1"), (train_lm_badly, "training")],
)
def test_a_batch_of_another_system_is_replayed_too(train_badly, folder, fit_audio, tmp_path):
    with pytest.raises(RuntimeError, match="batches were not finite"):
        train_badly(tmp_path, fit_audio)
    folder = tmp_path / folder
    (record,) = [json.loads(line) for line in (folder / "bad-batches.jsonl").read_text().splitlines()]
    found = replay(folder, folder / record["saved"], "torch", CPU)
    assert not found.is_finite and found.first_bad_module is not None and found.reason == record["reason"]
    assert found.bad_cuts == record["cut_ids"]
    (folder / "system.json").write_text('{"system": "teleporter", "settings": {}}')
    with pytest.raises(ValueError, match=r"unknown system 'teleporter'; known: asr, "):
        replay(folder, folder / record["saved"], "torch", CPU)
