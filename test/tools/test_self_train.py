"""tools/self_train.sh: one run after the other, each taught by the one before; what it cannot do is said at once."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "self_train.sh"
# A recipe's run.sh that notes how it was called; a dry run prints what would be trained, unless that comes later.
RUN = """#!/bin/sh
case "$*" in *"--dry-run true"*)
  case "$*" in *--stop-stage*) ;; *) echo "Stage 6: training of exp/$2: to be run" ;; esac ;;
*) echo "$*" >>"$(dirname "$0")/calls" ;; esac
"""


@pytest.fixture
def recipe_dir(tmp_path):
    folder = tmp_path / "egs of mine" / "ASR"
    folder.mkdir(parents=True)
    (folder / "run.sh").write_text(RUN)
    (folder / "run.sh").chmod(0o755)
    return folder


def run(*words):
    return subprocess.run(["bash", SCRIPT, *map(str, words)], capture_output=True, text=True)


def test_each_generation_is_taught_by_the_one_before(recipe_dir):
    flags = ("--first-recipe", "a", "--recipe", "b", "--generations", 2, "--seed", 7, "--pseudo.keep-share", 0.9)
    assert run(recipe_dir, *flags).returncode == 0
    assert (recipe_dir / "calls").read_text().splitlines() == [
        "--recipe a --seed 7",
        "--recipe b --seed 7 --pseudo.keep-share 0.9 --teacher exp/a",
        "--recipe b --seed 7 --pseudo.keep-share 0.9 --teacher exp/b",
    ]


@pytest.mark.parametrize(
    "flags, sentence, calls",
    [
        (("--exp-dir", "exp/mine"), "--exp-dir would be one folder for all generations; leave it away", 0),
        (("--stop-stage", "5"), "trains nothing that could teach; leave --stop-stage away", 1),
        (("--generations", "x"), "--generations must be a whole number above 0, not 'x'", 0),
        (("--seed",), "--seed has no value", 0),
    ],
)
def test_what_cannot_be_is_said(recipe_dir, flags, sentence, calls):
    done = run(recipe_dir, "--first-recipe", "a", *flags)
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    found = recipe_dir / "calls"
    assert len(found.read_text().splitlines() if found.exists() else []) == calls
