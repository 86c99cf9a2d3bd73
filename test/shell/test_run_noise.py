"""run_noise.sh: its options are used, and what is missing is told before anything is made."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "egs").glob("*/ASR/run_noise.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.parts[-3])
def test_help_lists_stages_and_options(script):
    done = subprocess.run(["bash", str(script), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == [str(stage) for stage in range(6)]
    assert any(line.startswith("--stop-stage") and "(default: 5)" in line for line in lines)
    assert any(line.startswith("--feature-type") and "(default: " in line for line in lines)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.parts[-3])
def test_its_feature_type_is_that_of_run_sh(script):
    said = [
        re.search(r"^feature_type=(\S+)", path.read_text(), re.MULTILINE)
        for path in (script, script.with_name("run.sh"))
    ]
    assert said[0][1] == said[1][1]


def test_every_option_is_used():
    names = ("noise_options.sh", "noise.sh", "recipe.sh", "stages.sh")
    texts = {name: (ROOT / "tools" / name).read_text() for name in names}
    options = re.findall(r"^([a-z][a-z0-9_]*)=", texts["noise_options.sh"], flags=re.MULTILINE)
    assert len(options) == len(set(options)) > 10
    code = texts["noise.sh"] + texts["recipe.sh"] + texts["stages.sh"]
    planned = "".join(path.read_text() for path in (ROOT / "icefall_discrete" / "experiment").rglob("*.py"))
    unused = [name for name in options if f"${name}" not in code and f"${{{name}" not in code]
    assert [name for name in unused if f'"{name}"' not in planned and f"options.{name}" not in planned] == []


PYTHON = """#!/usr/bin/env bash
# In place of Python: says what was called, and makes what the stage would.
script=$(basename "$1"); shift
echo "$script $*" >>"$CALLS"
declare -A flag
while [ $# -gt 1 ]; do flag[${1#--}]=$2; shift 2; done
case "$script" in
  make_noisy.py)
    for kind in ${flag[kinds]}; do
      for snr in ${flag[snrs]}; do echo "$kind $snr" >"${flag[cuts]%.jsonl.gz}-$kind-snr$snr.jsonl.gz"; done
    done ;;
  extract_codes.py) echo "${flag[split]}" >"${flag[out-dir]}/${flag[split]}.jsonl.gz" ;;
  borrow_experiment.py) mkdir -p "${flag[noise-dir]}/modified_beam_search" ;;
  token_stability.py) mkdir -p "$(dirname "${flag[output]}")"; echo >"${flag[output]}" ;;
esac
"""


@pytest.fixture
def recipe(tmp_path):
    """A copy of the recipe with an environment that is there already, so that none is made, and no Python in it."""
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "exports.sh").write_text(f'export PATH="{environment}/bin:$PATH" CALLS="{tmp_path}/calls"\n')
    (environment / "bin" / "python").write_text(PYTHON)
    (environment / "bin" / "python").chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    for path in (ROOT / "tools").glob("*.sh"):
        (tools / path.name).write_text(path.read_text())
    (tools / "setup_env.sh").write_text(f"#!/bin/sh\necho {environment}\n")
    (tools / "setup_env.sh").chmod(0o755)
    for folder in ("icefall_discrete", "local"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    recipe = tmp_path / "egs" / "asterisk" / "ASR"
    recipe.mkdir(parents=True)
    (recipe / "run_noise.sh").write_text((ROOT / "egs" / "asterisk" / "ASR" / "run_noise.sh").read_text())
    (recipe / "conf").symlink_to(ROOT / "egs" / "asterisk" / "ASR" / "conf")
    return recipe


def run(recipe, *options):
    """Run it on an experiment in exp, with two noises at two ratios."""
    command = ["bash", "run_noise.sh", "--feature-type", "mfcc_km500", "--exp-dir", "exp", *options]
    return subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=120)


def train(recipe):
    """The files that a trained experiment has."""
    for folder in ("exp", "data/features/mfcc_km500", "data/manifests"):
        (recipe / folder).mkdir(parents=True)
    for name in ("exp/config.json", "exp/train.json", "data/features/mfcc_km500/spec.json"):
        (recipe / name).write_text("{}")
    for name in ("features/mfcc_km500/test", "manifests/asterisk_cuts_test", "manifests/asterisk_cuts_train"):
        (recipe / "data" / f"{name}.jsonl.gz").write_text(name)


def test_an_experiment_that_was_not_trained_is_named(recipe):
    done = run(recipe)
    assert done.returncode == 2
    assert "exp/config.json does not exist; train first: ./run.sh --feature-type mfcc_km500" in done.stderr
    done = run(recipe, "--dry-run", "true")
    assert (
        done.returncode == 0 and "train first" in done.stdout and "Stage 5: tables and chart: to be run" in done.stdout
    )


@pytest.mark.parametrize(
    "options, sentence",
    [
        (("--kinds", "pnik"), "--kinds has 'pnik'; known: babble, white, pink, brown"),
        (("--kinds", ""), "--kinds is empty"),
        (("--snrs", "loud"), "--snrs is 'loud', expected numbers"),
        (("--num-talkers", "0"), "--num-talkers is '0', expected a whole number of at least 1"),
        (("--noise-cuts", "none.jsonl.gz"), "--noise-cuts none.jsonl.gz does not exist"),
        (("--decoding-method", "greedy"), "did you mean greedy_search?"),
        (("--decoding-method", "1best", "--env", "k2"), "1best needs graphs, which these stages do not make"),
        (("--stage", "7"), "--stage is 7, expected one of the stages 0 to 5"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(recipe, options, sentence):
    train(recipe)
    done = run(recipe, *options)
    assert (done.returncode, done.stdout) == (2, "") and sentence in done.stderr


def test_stages_are_done_once_and_noted_as_before(recipe, tmp_path):
    train(recipe)
    noises = ("--snrs", "10 -5", "--kinds", "white pink")
    done = run(recipe, *noises)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    scripts = ["make_noisy.py", *["extract_codes.py"] * 4, "borrow_experiment.py", "decode.py", "score.py"]
    assert [call.split()[0] for call in calls] == [*scripts, "token_stability.py", "make_results.py"]

    def line(path):
        with path.open("rb") as file:
            crc = subprocess.run(["cksum"], stdin=file, capture_output=True, text=True).stdout.strip()
        return f"{path.name}={crc}"

    manifests = recipe / "data" / "manifests"
    wanted = ["seed=42", "kinds=white pink", "snrs=10 -5", "num_talkers=6"]
    wanted += [line(manifests / f"asterisk_cuts_{split}.jsonl.gz") for split in ("test", "train")]
    marker = (recipe / "data" / "noisy_audio" / ".done-test").read_text().splitlines()
    assert marker[1:] == wanted
    marker = (recipe / "exp" / "noise" / ".done-2-modified_beam_search").read_text().splitlines()
    conditions = ["test-white-snr10", "test-white-snr-5", "test-pink-snr10", "test-pink-snr-5"]
    assert marker[1:6] == ["decoding_method=modified_beam_search", f"conditions={conditions[0]}", *conditions[1:]]
    assert marker[-1] == line(recipe / "data" / "features" / "mfcc_km500" / f"{conditions[-1]}.jsonl.gz")
    again = run(recipe, *noises)
    assert again.returncode == 0 and again.stdout.count("already done") == 8
    (manifests / "asterisk_cuts_test-white-snr10.jsonl.gz").write_text("changed")
    assert "the settings changed" in run(recipe, *noises, "--stage", "1", "--stop-stage", "1").stdout
