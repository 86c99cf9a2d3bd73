"""egs/asterisk/LID: choices only, on the corpus, the manifests and the codes of the recogniser's recipe."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "egs" / "asterisk" / "LID"


def run(*arguments):
    command = ["bash", str(RECIPE / "run.sh"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_it_is_choices_only():
    assert list(RECIPE.rglob("*.py")) == []
    done = run("--help")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert done.returncode == 0 and any(line.startswith("--feature-type") for line in lines)
    assert [line.split()[0] for line in lines if line[:2].strip().isdigit()] == ["0", "1", "2", "3", "4", "6", "7", "8"]


def test_it_plans_the_corpus_and_the_codes_of_the_other_recipe(tmp_path):
    done = run("--dry-run", "true", "--subset", 9, "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert f"{ROOT}/egs/asterisk/ASR/local/prepare.py" in done.stdout
    assert f"{tmp_path}/data/features/mfcc_km500" in done.stdout and "--facts language" in done.stdout
    assert f"--results-dir {RECIPE}/results" not in done.stdout, "the figures of a subset are no results"


def test_mistakes_are_told():
    assert "--languages has 'xx'" in run("--languages", "en,xx").stderr
    done = run("--lm", "ngram")
    assert done.returncode == 2 and "--lm is about text" in done.stderr
