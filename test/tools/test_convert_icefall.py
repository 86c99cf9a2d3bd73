"""Checkpoints as icefall saves them, with all that lies beside the weights, are converted; nothing in them is run."""

import collections
import datetime
import json
import pathlib
import random
import sys
from os import system
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import run_forked
from lhotse import MonoCut
from lhotse.dataset.sampling.base import TimeConstraint

from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.experiment import icefall_checkpoints
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.nn.encoders.zipformer import resample
from icefall_discrete.systems.asr.icefall_names import our_name
from icefall_discrete.text.pieces import train_bpe

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "test" / "assets" / "zipformer_reference.npz"


class AttributeDict(dict):
    """icefall's own, which cannot be imported here: a dictionary with attributes, pickled under icefall's name."""


AttributeDict.__module__ = "icefall.utils"


@pytest.fixture(autouse=True)
def icefall_utils(monkeypatch):
    """A module of that name, without which torch.save refuses to pickle the class."""
    module = type(sys)("icefall.utils")
    module.AttributeDict = AttributeDict
    monkeypatch.setitem(sys.modules, "icefall", type(sys)("icefall"))
    monkeypatch.setitem(sys.modules, "icefall.utils", module)


def weights():
    with np.load(REFERENCE) as data:
        shapes = [tuple(int(n) for n in text.split(",") if n) for text in data["offline/shapes"]]
        pieces = torch.from_numpy(data["offline/params"]).split([int(np.prod(shape)) for shape in shapes])
        names = data["offline/names"].tolist()
    return collections.OrderedDict(
        (name, piece.view(shape).clone()) for name, piece, shape in zip(names, pieces, shapes)
    )


def checkpoint():
    """What icefall's save_checkpoint writes: states, and its parameters one by one."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return {
        "model": weights(),
        "model_avg": {name: value.double() for name, value in weights().items()},
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "grad_scaler": {"scale": 1.0, "growth_factor": 2.0, "_growth_tracker": 0},
        "sampler": {"epoch": 3, "seed": 0, "constraint": TimeConstraint(max_duration=20).state_dict()},
        "constraint": TimeConstraint(max_duration=20),
        "cuts": [MonoCut("a", 0.0, 1.0, 0)],
        "exp_dir": pathlib.PosixPath("zipformer/exp"),
        "lang_dir": pathlib.PurePosixPath("data/lang"),
        "device": torch.device("cuda", 0),
        "dtype": torch.float16,
        "params": AttributeDict(env_info={"k2-version": "1.24"}, exp_dir=pathlib.PosixPath("exp")),
        "best_train_loss": float("inf"),
        "best_valid_loss": np.float64(0.3),
        "counts": collections.Counter("abba"),
        "tot": collections.defaultdict(int, frames=3),
        "started": datetime.datetime(2024, 1, 1),
        "rng": random.Random(1),
        "shape": torch.Size([2, 3]),
        "batch_idx_train": 1000,
    }


def run(*flags):
    """The tool, where there is no icefall."""
    with pytest.MonkeyPatch.context() as without:
        for name in ("icefall", "icefall.utils"):
            without.delitem(sys.modules, name)
        return run_forked("tools/convert_icefall.py", *flags)


@pytest.mark.parametrize("archive", [True, False])
def test_there_and_back(tmp_path, archive):
    torch.save(checkpoint(), tmp_path / "epoch-30.pt", _use_new_zipfile_serialization=archive)
    done = run("--checkpoint", tmp_path / "epoch-30.pt", "--output", tmp_path / "ours.pt")
    assert done.returncode == 0, done.stderr
    assert '"vocab_size": 11' in done.stdout
    back = run("--checkpoint", tmp_path / "ours.pt", "--output", tmp_path / "theirs.pt", "--to", "icefall")
    assert back.returncode == 0, back.stderr
    expected, found = weights(), read_checkpoint(tmp_path / "theirs.pt")["model"]
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected if our_name(name) is not None)


@pytest.fixture
def lang(tmp_path):
    """What lies beside the checkpoint: its eleven pieces, and its filter banks of 24 bins."""
    train_bpe(["abcd dcba", "badc cdab"] * 3, 11, tmp_path / "bpe.model")
    feature_type = {"tokenizer": "fbank", "num_mel_bins": 24}
    (tmp_path / "fbank24.json").write_text(json.dumps(feature_type))
    torch.save(checkpoint(), tmp_path / "epoch-30.pt")
    return ("--bpe-model", tmp_path / "bpe.model", "--feature-type", tmp_path / "fbank24.json")


def test_a_checkpoint_becomes_an_experiment(tmp_path, lang, request, monkeypatch):
    exp_dir, audio = tmp_path / "exp", request.path.parents[1] / "assets" / "speech.flac"
    done = run("--checkpoint", tmp_path / "epoch-30.pt", "--exp-dir", exp_dir, *lang)
    assert done.returncode == 0 and "lacks simple_am_proj" in done.stderr, done.stderr
    model = Experiment(exp_dir).build_model().eval()
    load_into(model, resolve_choice(CheckpointChoice(), exp_dir), exp_dir)
    with np.load(REFERENCE) as data:
        x, lens, expected = (torch.from_numpy(data[name]) for name in ("x", "x_lens", "offline/encoder_out"))
    with torch.no_grad(), monkeypatch.context() as as_there:  # where padding completes the last group of frames
        as_there.setattr(resample, "with_last_group_filled", lambda x, lens, factor: x)
        out, out_lens, _ = model.encode(x, lens)
    for row, length in enumerate(out_lens):
        assert torch.allclose(out[row, :length], expected[row, :length], atol=1e-4)
    # It is decoded without a word about which weights.
    (found,) = Transcriber(exp_dir).transcribe([audio])
    assert found.duration_sec > 1 and set(found.text) <= set("abcd ")
    again = run("--checkpoint", tmp_path / "epoch-30.pt", "--exp-dir", exp_dir, *lang)
    assert again.returncode == 1 and f"{exp_dir} exists and is not empty; give a folder that is new." in again.stderr


def test_names_of_parallel_training_and_bare_weights_are_taken(tmp_path):
    torch.save({"model": {f"module.{name}": value for name, value in weights().items()}}, tmp_path / "parallel.pt")
    torch.save(dict(weights()), tmp_path / "bare.pt")
    for name in ("parallel.pt", "bare.pt"):
        assert set(icefall_checkpoints.read_weights(tmp_path / name)) == set(weights())


def test_weights_that_are_no_numbers_are_refused(tmp_path, lang):
    broken = weights()
    broken["encoder_embed.conv.0.weight"][0] = float("nan")
    torch.save({"model": broken}, tmp_path / "broken.pt")
    done = run("--checkpoint", tmp_path / "broken.pt", "--exp-dir", tmp_path / "exp", *lang)
    assert done.returncode == 1 and not (tmp_path / "exp").exists()
    assert "broken.pt: 9 of 72 numbers of 'front_end.conv1.weight' are NaN or infinite" in done.stderr, done.stderr


def test_what_does_not_belong_to_a_checkpoint_is_refused(tmp_path, lang):
    train_bpe(["abcd dcba", "badc cdab"] * 3, 10, tmp_path / "other.model")
    for flags, said in (
        ((*lang, "--bpe-model", tmp_path / "other.model"), f"epoch-30.pt has 11 pieces, {tmp_path}/other.model 10"),
        ((*lang[:2], "--feature-type", "fbank"), "'front_end.out.weight' is (16, 640), expected (16, 2432)"),
        ((*lang, "--feature-type", "dmel"), "--feature-type dmel gives codes"),
        (lang[:0], "--exp-dir needs --bpe-model too"),
    ):
        done = run("--checkpoint", tmp_path / "epoch-30.pt", "--exp-dir", tmp_path / "exp", *flags)
        assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "exp").exists()


def write_bad(path):
    """Bad inputs by what is said of each."""
    evil = type("Evil", (), {"__reduce__": lambda self: (system, (f"touch '{path.parent / 'marker'}'",))})()
    torch.save({"model": weights()}, path / "whole.pt")
    whole = (path / "whole.pt").read_bytes()
    (path / "folder.pt").mkdir()
    (path / "text.pt").write_text("no weights")
    (path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    torch.save({"weights": weights()}, path / "other.pt")
    torch.save({"model": {"a": evil}}, path / "evil.pt", _use_new_zipfile_serialization=False)
    torch.save({"model": {"a": pathlib.PosixPath("a")}}, path / "path.pt")
    torch.save({"model": {"encoder.encoders.0.layers.0.a": torch.zeros(2)}}, path / "half.pt")
    return {
        "none.pt": "does not exist",
        "folder.pt": "is refused: it is not a file",
        "text.pt": "is refused: it is damaged, or another kind of file",
        "cut.pt": "is refused: it is an archive that is cut short",
        "other.pt": "has no 'model'",
        "evil.pt": f"it names {system.__module__}.system, which is neither data nor settings. Nothing of it was run",
        "path.pt": "holds no state dict of tensors",
        "half.pt": "lacks the weight 'encoder.stacks.0.layers.0.attention_weights.linear_pos.weight'",
    }


def test_bad_inputs_are_one_sentence(tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, said in write_bad(folder).items():
        done = run("--checkpoint", folder / name, "--output", tmp_path / "out.pt")
        assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
        assert str(folder / name) in done.stderr and said in done.stderr
    assert not (tmp_path / "out.pt").exists() and not (tmp_path / "marker").exists()
