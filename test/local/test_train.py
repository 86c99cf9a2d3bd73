import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from forked import run_forked
from lhotse import CutSet
from synthetic_codes import random_text, write_corpus
from toy_corpus import run_stage_script

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, load_weights, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.text.pieces import train_bpe

ROOT = Path(__file__).resolve().parents[2]


def command(stage, folder, exp_dir, *flags):
    paths = ["--recipe-config", folder / "recipe.json", "--exp-dir", exp_dir]
    if stage == "train.py":
        paths += ["--conf-dir", folder, "--feature-dir", folder / "features", "--lang-dir", folder / "lang"]
    return [sys.executable, str(ROOT / "local" / stage), *map(str, paths), *map(str, flags)]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def run_alone(stage, folder, exp_dir, *flags):
    """In a Python that begins with nothing, as run.sh has it."""
    done = subprocess.run(command(stage, folder, exp_dir, *flags), env=environment(), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def run(stage, folder, exp_dir, *flags):
    _, script, *words = command(stage, folder, exp_dir, *flags)
    done = run_forked(script, *words)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def corpus_dir(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("synthetic") / "corpus", num_train=40)


@pytest.fixture(scope="module")
def trained(corpus_dir, tmp_path_factory):
    exp_dir = tmp_path_factory.mktemp("trained") / "exp"
    status, output = run_alone("train.py", corpus_dir, exp_dir, "--num-epochs", "3", "--tensorboard", "1")
    assert status == 0, output
    return exp_dir


def test_a_finished_training_says_so_and_does_nothing(corpus_dir, trained):
    before = {path.name: path.stat().st_mtime_ns for path in trained.glob("*.pt")}
    status, output = run("train.py", corpus_dir, trained, "--num-epochs", "3", "--tensorboard", "1")
    assert status == 0 and "training is finished (3 epochs, stopped by num_epochs); nothing to do" in output
    assert {path.name: path.stat().st_mtime_ns for path in trained.glob("*.pt")} == before


def test_what_the_folder_holds_afterwards(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "spec.json", "bpe.model", "env.json", "train.json", "epoch-3.pt", "log"} <= names
    assert list((trained / "tensorboard").iterdir())
    log = next((trained / "log").iterdir()).read_text()
    assert "Epoch 3, validation: loss=" in log and "audio s/s" in log


def test_other_settings_end_in_one_sentence_that_names_them(corpus_dir, trained):
    status, output = run("train.py", corpus_dir, trained, "--num-epochs", "3", "--base-lr", "0.02")
    assert status == 1 and "Traceback" not in output
    assert output.strip().splitlines()[-1].startswith("error: ") and "train.base_lr: 0.045 there, 0.02 now" in output


def test_killed_between_checkpoints_and_run_again_gives_the_same_weights(corpus_dir, trained, tmp_path):
    exp_dir = tmp_path / "exp"
    flags = ("--num-epochs", "3", "--save-every-n", "3")
    process = subprocess.Popen(
        command("train.py", corpus_dir, exp_dir, *flags),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 300
    while not (exp_dir / "checkpoint-3.pt").exists() and process.poll() is None and time.time() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (exp_dir / "checkpoint-3.pt").exists() and not (exp_dir / "epoch-3.pt").exists()

    status, output = run("train.py", corpus_dir, exp_dir, *flags)
    assert status == 0 and "Resumed from checkpoint-" in output
    expected = load_checkpoint(trained / "epoch-3.pt")
    resumed = load_checkpoint(exp_dir / "epoch-3.pt")
    assert resumed["step"] == expected["step"]
    for name, value in expected["model"].items():
        assert torch.equal(resumed["model"][name], value), name


def test_training_from_shar_killed_and_run_again_gives_the_same_weights(corpus_dir, tmp_path):
    folder = ("--feature-dir", corpus_dir / "features", "--shar-dir", tmp_path / "shar", "--shard-size", "7")
    run_stage_script("export_shar.py", *folder)
    flags = (
        "--num-epochs",
        "2",
        "--save-every-n",
        "3",
        "--keep-last-k",
        "9",
        "--curriculum-epochs",
        "0",
        "--shar-dir",
        tmp_path / "shar",
    )
    status, output = run("train.py", corpus_dir, tmp_path / "whole", *flags)
    assert status == 0, output
    resumed = tmp_path / "resumed"
    status, output = run("train.py", corpus_dir, resumed, *flags)
    assert status == 0, output
    for path in [*resumed.glob("epoch-*.pt"), *resumed.glob("checkpoint-*.pt"), resumed / "train.json"]:
        if path.name != "checkpoint-3.pt":
            path.unlink()
    status, output = run("train.py", corpus_dir, resumed, *flags)
    assert status == 0 and "Resumed from checkpoint-3" in output
    expected = load_checkpoint(tmp_path / "whole" / "epoch-2.pt")["model"]
    found = load_checkpoint(resumed / "epoch-2.pt")["model"]
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_averaging_stage(corpus_dir, trained):
    status, output = run("average.py", corpus_dir, trained, "--avg", "2")
    assert status == 0, output
    record = json.loads((trained / "average.json").read_text())
    assert record["settings"] == {"epoch": 3, "avg": 2, "use_averaged_model": True}
    assert list(record["inputs"]) == ["epoch-1.pt", "epoch-3.pt"]
    averaged = load_checkpoint(trained / "averaged.pt")["model"]
    ends = [load_checkpoint(trained / f"epoch-{epoch}.pt")["model_avg"] for epoch in (1, 3)]
    name = "joiner.output_linear.weight"
    samples = [end["count"] * end["weights"][name] for end in ends]
    expected = (samples[1] - samples[0]) / (ends[1]["count"] - ends[0]["count"])
    torch.testing.assert_close(averaged[name], expected.float())
    (trained / "average.json").write_text(json.dumps(record["settings"]))  # as it was before files were noted
    status, output = run("average.py", corpus_dir, trained, "--avg", "2")
    assert status == 0 and "nothing to do" in output


def test_what_is_handed_on_is_small_and_whole(corpus_dir, trained, tmp_path):
    given = tmp_path / "given"
    (trained / "average.json").unlink(missing_ok=True)  # one of before tells of no digest
    status, output = run("average.py", corpus_dir, trained, "--avg", "2", "--to", given)
    assert status == 0 and f"{given}: 0." in output, output
    names = {path.name for path in given.iterdir()}
    assert {"averaged.pt", "config.json", "spec.json", "bpe.model", "recipe.json"} <= names
    assert not [name for name in names if name.startswith(("epoch-", "checkpoint-", "train", "log", "tensorboard"))]
    choice = resolve_choice(CheckpointChoice(), given)
    assert choice.suffix == "averaged"
    model = Experiment(given).build_model()
    load_into(model, choice, given)
    expected = load_checkpoint(trained / "averaged.pt")["model"]
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    shutil.copy(trained / "epoch-1.pt", given / "averaged.pt")
    with pytest.raises(ValueError, match=r"given/averaged\.pt is not the file that .*average\.json tells of"):
        load_into(model, choice, given)
    before = (trained / "averaged.pt").stat().st_mtime_ns
    status, output = run("average.py", corpus_dir, trained, "--avg", "1", "--to", given)
    assert status == 1 and "exists and is not empty; give a folder that is new." in output
    assert (trained / "averaged.pt").stat().st_mtime_ns == before  # not averaged anew for nothing


def test_an_average_is_that_of_the_recipe_that_the_experiment_keeps(trained, tmp_path):
    exp_dir = shutil.copytree(trained, tmp_path / "exp")
    recipe = json.loads((exp_dir / "recipe.json").read_text())
    (exp_dir / "recipe.json").write_text(json.dumps({**recipe, "average": {"avg": 1}}))
    done = run_forked("local/average.py", "--exp-dir", exp_dir)
    assert done.returncode == 0 and json.loads((exp_dir / "average.json").read_text())["settings"]["avg"] == 1


def test_cuts_of_another_spec_are_refused(corpus_dir, trained, tmp_path):
    other = tmp_path / "corpus"
    shutil.copytree(corpus_dir, other)
    spec_file = other / "features" / "spec.json"
    spec = json.loads(spec_file.read_text())
    spec_file.write_text(json.dumps({**spec, "provenance": {"kmeans": "another"}}))
    status, output = run("train.py", other, trained, "--num-epochs", "4", "--tensorboard", "1")
    assert status == 1 and "provenance.kmeans" in output


def test_other_cuts_are_refused_by_name_and_folders_of_before_take_theirs(corpus_dir, trained, tmp_path):
    other = tmp_path / "corpus"
    shutil.copytree(corpus_dir, other)
    manifest = other / "features" / "train.jsonl.gz"
    write_cuts(manifest, list(CutSet.from_jsonl_lazy(manifest))[:-1])
    exp_dir = tmp_path / "exp"
    shutil.copytree(trained, exp_dir)
    status, output = run("train.py", other, exp_dir, "--num-epochs", "3")
    assert status == 1 and "was trained with other train.cuts, train.num_cuts (train.num_cuts: was" in output
    (exp_dir / "data.json").unlink()
    status, output = run("train.py", other, exp_dir, "--num-epochs", "3")
    assert status == 0 and (exp_dir / "data.json").is_file()
    status, output = run("train.py", corpus_dir, exp_dir, "--num-epochs", "3")
    assert status == 1 and "give the same cuts to go on, or another --exp-dir" in output


def test_two_processes_on_this_machine(corpus_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the two, which begin by themselves
    flags = ("--num-epochs", "1", "--world-size", "2", "--backend", "torch")
    status, output = run("train.py", corpus_dir, tmp_path / "exp", *flags)
    assert status == 0, output
    summary = json.loads((tmp_path / "exp" / "train.json").read_text())
    assert summary["finished"] and summary["world_size"] == 2
    assert output.count("Trained 1 epochs") == 1 and len(list((tmp_path / "exp" / "log").iterdir())) == 2
    status, output = run("train.py", corpus_dir, tmp_path / "other", *flags, "--lang-dir", str(tmp_path))
    assert status == 1 and "Traceback" not in output and output.count("bpe.model") >= 1


def test_training_begins_with_weights_of_another(corpus_dir, trained, tmp_path):
    begun, flags = tmp_path / "begun", ("--init-from", trained, "--base-lr", "1e-9")
    status, output = run("train.py", corpus_dir, begun, "--num-epochs", "1", *flags)
    assert status == 0 and f"of {trained}/epoch-3.pt" in output, output
    before = Experiment(trained)
    expected = load_weights(resolve_choice(CheckpointChoice(), trained), trained)
    found = load_checkpoint(begun / "epoch-1.pt")["model"]
    assert before.settings().init.init_from == "" and Experiment(begun).settings().init.init_from == str(trained)
    assert all(torch.allclose(found[name], value, atol=1e-4) for name, value in expected.items())
    # A rerun in the folder goes on, and does not begin again.
    status, output = run("train.py", corpus_dir, begun, "--num-epochs", "2", *flags)
    assert status == 0 and "Begins with" not in output and "Resumed from" in output, output


def test_weights_that_do_not_fit_are_named_and_nothing_is_written(corpus_dir, trained, tmp_path):
    def refused(*flags):
        status, output = run("train.py", corpus_dir, tmp_path / "exp", "--num-epochs", "1", *flags)
        assert status == 1 and "Traceback" not in output and not (tmp_path / "exp").exists(), output
        return output.strip().splitlines()[-1]

    assert refused("--init-from", tmp_path / "none.pt").endswith("give an experiment folder or a checkpoint.")
    assert "predictor does not fit (its predictor.embedding.weight is (20, 32), here (20, 16))" in refused(
        "--init-from", trained, "--decoder-dim", "16"
    )
    assert "has no such part; its parts: input_embedding, front_end, encoder, " in refused(
        "--init-from", trained, "--init-modules", "encoder,decoder"
    )
    assert "does not say from where" in refused("--init-modules", "encoder")
    torch.save({"model": {"a": torch.zeros(2)}}, tmp_path / "other.pt")
    assert "it has no input_embedding.table); begin with other weights." in refused(
        "--init-from", tmp_path / "other.pt"
    )


def test_parts_are_taken_for_other_pieces_only_where_they_mean_the_same(corpus_dir, trained, tmp_path):
    other = shutil.copytree(corpus_dir, tmp_path / "other")
    train_bpe([random_text(random.Random(5), 300)], 20, other / "lang" / "bpe.model")
    flags = ("--num-epochs", "1", "--init-from", trained)
    status, output = run("train.py", other, tmp_path / "exp", *flags)
    advice = "take what does with --init-modules input_embedding,front_end,encoder."
    assert status == 1 and f"it was trained for other pieces or classes); {advice}" in output, output
    modules = "input_embedding,front_end,encoder"
    status, output = run("train.py", other, tmp_path / "exp", *flags, "--init-modules", modules)
    assert status == 0 and "; anew: predictor (it was trained for other pieces or classes), joiner (" in output, output


def test_pieces_of_other_texts_are_refused_before_anything_is_written(corpus_dir, tmp_path):
    train_bpe(["ABC DEF GH"] * 3, 13, tmp_path / "upper" / "bpe.model")
    status, output = run("train.py", corpus_dir, tmp_path / "exp", "--lang-dir", tmp_path / "upper")
    assert status == 1 and "characters (100.00 %)" in output and "have no piece" in output
    assert not list((tmp_path / "exp").glob("*.*"))
    status, output = run("train.py", corpus_dir, tmp_path / "exp", "--num-epochs", "1")
    assert status == 0, output
