"""Weights that are divided over two processes: what is learnt and what is written is as if they were whole."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from synthetic_codes import make_trainer
from torch import nn

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.experiment.replay import replay
from icefall_discrete.nn.encoders.wav2vec2.config import Wav2Vec2Config
from icefall_discrete.nn.encoders.wav2vec2.encoder import Wav2Vec2Encoder
from icefall_discrete.training import sharding
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.launch import launch
from icefall_discrete.training.optimizers.adam import AdamConfig
from icefall_discrete.training.placement import Placement, place
from icefall_discrete.training.system import System
from icefall_discrete.training.train_config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {"dim": 16, "num_layers": 2, "num_heads": 2, "feedforward_dim": 32, "dropout": [0.1]}
MODEL = {
    "encoder": {"kind": "transformer", **LAYERS},
    "front_end": {"kind": "conv1d", "stride": 2},
    "embedding_dim": 16,
}
LOSS = {"transducer_loss_scale": 0.0, "ctc_loss_scale": 1.0, "inner_ctc_loss_scale": 0.0}
TRAIN = {
    "num_epochs": 2,
    "optimizer": {"kind": "adam", "peak_lr": 0.0003, "schedule": "constant", "decoupled": True},
    "max_grad_norm": 1.0,
    "average_period": 1,
    "decode_interval": 1,
    "decode_utterances": 2,
    "tensorboard": False,
}
LOADER = {"max_duration": 4.0, "num_buckets": 2}


@pytest.fixture(scope="module")
def corpus(corpus_dir, tmp_path_factory):
    """That of other tests, with a recipe of attention and Adam."""
    folder = tmp_path_factory.mktemp("sharding")
    for name in ("features", "lang"):
        (folder / name).symlink_to(corpus_dir / name)
    recipe = json.loads((corpus_dir / "recipe.json").read_text())
    own = {"model": MODEL, "loader": LOADER, "loss": LOSS, "train": TRAIN}
    (folder / "recipe.json").write_text(json.dumps({**recipe, **own}))
    return folder


@pytest.fixture(scope="module")
def together(corpus, tmp_path_factory):
    """Folder of the results of two processes, what each saw, and how they ended."""
    if not sharding.IS_OFFERED:
        pytest.skip(f"torch {torch.__version__} cannot divide weights as they have to be")
    results = tmp_path_factory.mktemp("together")
    command = [sys.executable, str(ROOT / "test" / "toys" / "sharded_worker.py"), str(corpus), str(results)]
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(ROOT))
    patch.setenv("OMP_NUM_THREADS", "1")
    kept = os.dup(2)
    with open(results / "output.txt", "w") as stream:
        os.dup2(stream.fileno(), 2)
        try:
            with pytest.raises(RuntimeError, match="process 1 of 2 was ended by signal 9"):
                launch(command, 2, 0)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            patch.undo()
    return results, [json.loads((results / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def leaves(state, path=""):
    """The tensors of a checkpoint by their place in it."""
    if isinstance(state, torch.Tensor):
        return {path: state}
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, (list, tuple)) else ()
    return {place: value for key, item in items for place, value in leaves(item, f"{path}/{key}").items()}


def assert_same_tensors(one, other):
    first, second = leaves(one), leaves(other)
    assert first.keys() == second.keys() and len(first) > 20
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_losses_decodings_and_weights_are_those_of_whole_weights(together):
    results, both = together
    for seen in both:
        for one, other in zip(seen["sharded"], seen["whole"]):
            assert one[0] == pytest.approx(other[0], rel=1e-5) and one[1] == pytest.approx(other[1], rel=1e-5)
            assert one[2:] == other[2:]
    records = [json.loads((results / name / "train.json").read_text())["epochs"] for name in ("whole", "sharded")]
    assert [one["dev_wer"] for one in records[0]] == [one["dev_wer"] for one in records[1]]
    for name in ("epoch-1.pt", "epoch-2.pt"):
        whole, divided = (load_checkpoint(results / folder / name) for folder in ("whole", "sharded"))
        assert_same_tensors({key: whole[key] for key in ("model", "model_avg")}, divided)


def test_checkpoints_are_the_same_files_and_either_goes_on_from_them(together):
    results, both = together
    name = f"checkpoint-{both[0]['whole'][-1][3]}.pt"
    parts = ("model", "model_avg", "optimizer")
    whole, divided = (
        {part: load_checkpoint(results / one / name)[part] for part in parts} for one in ("whole", "sharded")
    )
    assert_same_tensors(whole, divided)
    assert whole["optimizer"]["state"].keys() == divided["optimizer"]["state"].keys() != set()
    for seen in both:
        assert seen["resumed"] == seen["sharded"]
        for one, other in zip(seen["by turns"], seen["whole"]):
            assert one[0] == pytest.approx(other[0], rel=1e-5) and one[1] == pytest.approx(other[1], rel=1e-5)
    epochs = [load_checkpoint(results / one / "epoch-2.pt") for one in ("sharded", "resumed", "whole", "by turns")]
    assert all(torch.equal(value, epochs[1]["model"][key]) for key, value in epochs[0]["model"].items())
    assert_same_tensors(epochs[2]["model"], epochs[3]["model"])


def test_batches_whose_gradients_are_added_are_too(together):
    for seen in together[1]:
        one, other = seen["accumulated, divided"], seen["accumulated, whole"]
        # Sums are taken in another order, and Adam turns the rounding of a gradient near zero into a step.
        assert one[0][:2] == [pytest.approx(figures, rel=1e-4) for figures in other[0][:2]]
        assert one[0][3] == other[0][3] < seen["whole"][0][3]


def test_each_process_holds_half_of_the_weights_and_of_what_adam_keeps(together):
    held, numbers = zip(*(seen["elements"] for seen in together[1]))
    assert numbers[0] == numbers[1] and max(held) < 0.52 * numbers[0]
    assert sum(held) < 1.01 * numbers[0]  # parameters that are one number are in both


def test_a_dev_batch_for_two_processes_counts_once(together):
    first, second = (seen["sharded"] for seen in together[1])
    assert first == second and len(first) == 2


def test_a_bad_batch_is_left_out_by_both_and_its_file_says_that_it_has_no_weights(together):
    results, both = together
    assert [seen["bad"] for seen in both] == [1, 1]
    (path,) = (results / "bad" / "bad-batches").iterdir()
    assert path.name.endswith("rank-1.pt")
    with pytest.raises(ValueError, match=r"processes that divided the weights, and holds none; .* --sharded 0"):
        replay(results / "bad", path, "torch", torch.device("cpu"))


def test_the_other_process_says_that_one_was_killed(together):
    said = (together[0] / "output.txt").read_text()
    assert "error: another process was ended from outside, killed perhaps" in said and "Traceback" not in said


def test_one_process_holds_all(corpus, tmp_path):
    trainer, _ = make_trainer(corpus, tmp_path, train__sharded=True)
    assert type(trainer.placement) is Placement


class _Standing(System):
    """A network that nothing is done with."""

    def prepare(self, batch, device):
        raise NotImplementedError

    def losses(self, prepared, step):
        raise NotImplementedError


class _Reading(_Standing):
    reads_weights = True


@pytest.mark.parametrize(
    "system, offered, sentence",
    [
        (_Standing(nn.Linear(2, 2)), False, "--sharded 1 needs PyTorch's fully_shard .* which torch .* lacks"),
        (_Reading(nn.Linear(2, 2)), True, "whose weights are used by their losses alone"),
        (
            _Standing(Wav2Vec2Encoder(Wav2Vec2Config(dim=4, num_layers=1, num_heads=2, position_groups=2))),
            True,
            "set --layer-dropout 0, or --sharded 0",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_in_a_sentence(monkeypatch, system, offered, sentence):
    monkeypatch.setattr(sharding, "IS_OFFERED", offered)
    config = TrainConfig(optimizer=AdamConfig(), sharded=True)
    with pytest.raises(ValueError, match=sentence):
        place(system, torch.optim.Adam(system.parameters()), config, Group(0, 2, 0))


def test_optimisers_and_formats_that_cannot_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"set --train.optimizer adam, or --sharded 0"):
        TrainConfig(sharded=True)
    with pytest.raises(ValueError, match="as fp16 needs; set --precision bf16"):
        TrainConfig(optimizer=AdamConfig(), sharded=True, precision="fp16")
