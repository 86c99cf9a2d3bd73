"""Stage 6 that fine-tunes: adapters and LoRA on another training's weights, with another corpus mixed in."""

import json

import pytest
import torch
from lhotse import CutSet
from synthetic_codes import write_corpus, write_split
from toy_corpus import run_stage_script

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.mixing import has_mixed_in, mixed_epoch, with_mixed_in
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, load_weights, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.nn.adaptation import plain_name


@pytest.fixture(scope="module")
def corpus_dir(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("synthetic") / "corpus", num_train=9, num_dev=2)
    write_split(folder / "features", "more", 6, 3)
    return folder


def train(folder, exp_dir, *flags, check=True):
    paths = ("--recipe-config", folder / "recipe.json", "--conf-dir", folder, "--lang-dir", folder / "lang")
    return run_stage_script(
        "train.py", *paths, "--feature-dir", folder / "features", "--exp-dir", exp_dir, *flags, check=check
    )


def weights_of(exp_dir, epoch):
    return load_checkpoint(exp_dir / f"epoch-{epoch}.pt")["model"]


@pytest.fixture(scope="module")
def trained(corpus_dir, tmp_path_factory):
    exp_dir = tmp_path_factory.mktemp("trained") / "exp"
    train(corpus_dir, exp_dir, "--num-epochs", 1)
    return exp_dir


def test_adapting_learns_little_and_goes_on_exactly(corpus_dir, trained, tmp_path):
    flags = ["--init-from", trained, "--lora-r", 2, "--adapter-dim", 4, "--first-batch-count", 1000]
    flags += ["--mux-dir", corpus_dir / "features", "--mux-split", "more", "--mux-weights", "0.7,0.3"]
    at_once = train(corpus_dir, tmp_path / "at_once", "--num-epochs", 2, *flags)
    train(corpus_dir, tmp_path / "in_two", "--num-epochs", 1, *flags)
    resumed = train(corpus_dir, tmp_path / "in_two", "--num-epochs", 2, *flags)
    assert "Begins with input_embedding, front_end, encoder" in at_once.stderr
    assert " weights learn (" in at_once.stderr and " weights learn (" in resumed.stderr
    assert "Begins with" not in resumed.stderr and "Resumed from" in resumed.stderr
    one, other = weights_of(tmp_path / "at_once", 2), weights_of(tmp_path / "in_two", 2)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    before = load_weights(resolve_choice(CheckpointChoice(), trained), trained)
    assert all(
        torch.equal(value, before[plain_name(name)]) for name, value in one.items() if plain_name(name) in before
    )
    assert any(value.abs().sum() > 0 for name, value in one.items() if name.endswith(".up"))
    summary = json.loads((tmp_path / "at_once" / "train.json").read_text())
    assert summary["num_trainable_params"] < summary["num_params"] / 3 and "drawn_hours" in summary["epochs"][0]
    model = Experiment(tmp_path / "at_once").build_model()
    load_into(model, resolve_choice(CheckpointChoice(), tmp_path / "at_once"), tmp_path / "at_once")


def test_what_cannot_be_done_is_said_before_anything_is_written(corpus_dir, trained, tmp_path):
    def refused(*flags):
        done = train(corpus_dir, tmp_path / "exp", *flags, check=False)
        assert done.returncode == 1 and not (tmp_path / "exp" / "config.json").exists(), done.stderr
        return done.stderr

    assert "init_from names no weights to adapt; give --init-from" in refused("--lora-r", 2)
    assert "extract the features of that corpus first" in refused("--mux-dir", tmp_path)
    assert "cut train-0 is in the corpus and in the one that is mixed in" in refused(
        "--mux-dir", corpus_dir / "features"
    )
    everything = "input_embedding,front_end,encoder,predictor,joiner,simple_am_proj,simple_lm_proj,ctc_output"
    kept = refused("--init-from", trained, "--frozen-modules", f"{everything},inner_ctc_outputs")
    assert "nothing would learn: all parts are kept" in kept
    assert "frozen cannot be kept: the network has the parts" in refused(
        "--init-from", trained, "--frozen-modules", "frozen"
    )


def test_an_epoch_of_two_corpora_is_drawn_by_their_weights_and_again_the_same(corpus_dir):
    own, others = (load_cuts(corpus_dir / "features" / f"{split}.jsonl.gz") for split in ("train", "more"))
    cuts = with_mixed_in(CutSet.from_cuts(own), CutSet.from_cuts(others))
    assert has_mixed_in(cuts) and not has_mixed_in(load_cuts(corpus_dir / "features" / "train.jsonl.gz"))
    first, again, later = (list(mixed_epoch(cuts, (9.0, 1.0), epoch, 5).ids) for epoch in (1, 1, 2))
    assert first == again != later and len(set(first)) == len(first)
    counts = [
        sum(one.startswith("more") for one in list(mixed_epoch(cuts, (1.0, 9.0), epoch, 5).ids)) for epoch in (1, 2)
    ]
    assert counts == [6, 6]  # of what is drawn from most often nothing is left
