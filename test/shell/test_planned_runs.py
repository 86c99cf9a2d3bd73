"""run.sh as it was planned: a dry run, flags of stages, and what is refused before an environment is made."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from stage_scripts import RECIPE, ToyRecipe, write

ALL = ["prepare", "fit_tokenizer", *["extract_codes"] * 3, "check_cuts", "train_bpe", "train", "decode", "score"]


@pytest.fixture
def toy(tmp_path):
    return ToyRecipe(tmp_path)


def files_of(folder):
    return sorted(str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_a_dry_run_prints_the_plan_and_does_nothing(toy):
    write(toy.here.parents[2] / "tools" / "setup_env.sh", "#!/bin/sh\nexit 1\n").chmod(0o755)
    before = files_of(toy.here)
    done = toy.run("--dry-run", "true", "--stop-stage", 7, "--base-lr", "0.01")
    assert done.returncode == 0 and toy.calls() == [] and files_of(toy.here) == before
    states = re.findall(r"^Stage (\d): .*: (to be run|not asked for|done)$", done.stdout, flags=re.MULTILINE)
    assert states == [(str(number), "to be run") for number in range(8)] + [("8", "not asked for")]
    assert "local/train.py --recipe-config conf/recipes/default.json" in done.stdout and "--base-lr 0.01" in done.stdout


def test_a_dry_run_says_what_was_done_and_what_differs(toy):
    assert toy.run("--stop-stage", 5).returncode == 0
    done = toy.run("--dry-run", "true", "--seed", 7)
    assert (
        "Stage 1: manifests: done" in done.stdout and "Stage 6: training of exp/toy_default: to be run" in done.stdout
    )
    assert (
        "Stage 2: tokenizer of toy: to be run again, the settings changed\n    was seed=42\n    is  seed=7"
        in done.stdout
    )


def test_a_flag_of_a_stage_counts_in_its_settings_and_in_no_earlier_ones(toy):
    assert toy.run().returncode == 0 and toy.calls() == [*ALL, "make_results"]
    assert toy.run("--base-lr", "0.01", "--decode.beam-size", "8").returncode == 0
    assert toy.calls() == ["train", "decode", "score", "make_results"]
    (marker,) = toy.here.glob("exp/toy_default_base-lr-0.01*/.done-6")
    assert "train.base_lr=0.01" in marker.read_text()
    assert toy.run("--base-lr", "0.01", "--beam-size=8").returncode == 0 and toy.calls() == []


def test_the_recipes_own_search_is_used(toy):
    toy.recipe.write_text(json.dumps({**RECIPE, "decode": {"decoding_method": "greedy_search"}}))
    assert toy.run().returncode == 0
    assert (toy.here / "exp" / "toy_default" / ".done-7-greedy_search").exists()
    assert (toy.here / "exp" / "toy_default" / "greedy_search" / "scores.txt").exists()


def test_inputs_of_other_settings_are_refused_and_nothing_is_moved(toy):
    options = {"TOY_OPTIONS": "subset"}
    assert toy.run("--subset", 120, **options).returncode == 0
    before, _ = files_of(toy.here), toy.calls()
    done = toy.run("--subset", 60, "--stage", 2, **options)
    assert done.returncode == 2 and done.stdout == "" and toy.calls() == [] and files_of(toy.here) == before
    sentence = r"stage 2 reads what stage 1 \(manifests\) made with other settings: was subset=120; is subset=60"
    assert re.search(sentence + ".*--stage 1", done.stderr)
    dry = toy.run("--subset", 60, "--stage", 2, "--dry-run", "true", **options)
    assert dry.returncode == 2 and re.search(sentence, dry.stderr) and "Stage 2" in dry.stdout
    assert toy.run("--subset", 60, **options).returncode == 0 and toy.calls() == [*ALL, "make_results"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--decoding-method", "greedy"], "did you mean greedy_search?"),
        (["--languages", "yy"], "--languages has 'yy'; known: en, xx"),
        (["--num-epochs", "0"], "--num-epochs is '0', expected a whole number of at least 1"),
        (["--no-such-flag", "1"], "unknown option --no-such-flag"),
        (["--decoding-method", "1best", "--env", "portable"], "1best needs k2"),
    ],
)
def test_mistakes_are_told_before_an_environment_is_made(toy, arguments, sentence):
    write(toy.here.parents[2] / "tools" / "setup_env.sh", "#!/bin/sh\necho made >&2; exit 1\n").chmod(0o755)
    done = toy.run(*arguments)
    assert done.returncode == 2 and sentence in done.stderr and done.stdout == "" and "made" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and toy.calls() == []


def test_without_a_python_on_the_path_planning_waits_for_the_environment(toy, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("awk", "basename", "bash", "cat", "cksum", "cut", "date", "diff", "dirname", "find", "grep", "mkdir"):
        (tools / name).symlink_to(shutil.which(name))
    for name in ("mv", "rm", "sed", "sort", "sync", "true"):
        (tools / name).symlink_to(shutil.which(name))
    done = toy.run(PATH=str(tools))
    assert done.returncode == 0, done.stderr
    assert toy.calls() == [*ALL, "make_results"] and done.stdout.count("(made first, if need be)") == 1


def test_a_search_that_the_environment_lacks_ends_the_run_before_its_stages(toy):
    checked = "if '--require-search' in sys.argv: sys.exit('error: 1best needs k2')"
    plan = toy.here.parents[2] / "local" / "plan.py"
    plan.write_text(plan.read_text().replace("\nCODING", f"\n{checked}\nCODING"))
    done = toy.run("--decoding-method", "1best")
    assert done.returncode == 2 and "error: 1best needs k2" in done.stderr and toy.calls() == []
    assert toy.run("--decoding-method", "1best", "--stop-stage", 6).returncode == 0


def test_a_task_without_stages_is_named(toy):
    here = toy.here.with_name("XYZ")
    toy.here.rename(here)
    toy.here = here
    done = toy.run()
    assert done.returncode == 2 and "error: there are no stages of XYZ; known: asr, classification, " in done.stderr


def test_no_json_and_no_eval_in_the_shell():
    root = Path(__file__).resolve().parents[2]
    scripts = [*root.glob("tools/*.sh"), *root.glob("egs/*/*/*.sh")]
    assert len(scripts) > 10
    for path in scripts:
        text = path.read_text()
        assert not re.search(r"^\s*eval |[;&|(] *eval |import json|jq ", text, flags=re.MULTILINE), path
        assert os.access(path, os.R_OK) and subprocess.run(["bash", "-n", path]).returncode == 0
    for name in ("recipe.sh", "noise.sh", "stages.sh", "parse_options.sh", "recipe_options.sh", "noise_options.sh"):
        lines = (root / "tools" / name).read_text().splitlines()
        assert max(map(len, lines)) <= 140 and not [line for line in lines if re.search(r"/ASR\b", line)], name
