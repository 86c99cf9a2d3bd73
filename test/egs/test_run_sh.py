"""run.sh of every recipe: mistakes are told at once, before an environment is made or anything is fetched."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = ROOT / "icefall_discrete" / "experiment"
PLANNER = "".join((EXPERIMENT / name).read_text() for name in ("run_options.py", "feature_stages.py", "stages/asr.py"))
RECIPES = sorted(path.parts[-3] for path in (ROOT / "egs").glob("*/ASR/run.sh"))


def run(*arguments, recipe="asterisk"):
    script = ROOT / "egs" / recipe / "ASR" / "run.sh"
    return subprocess.run(["bash", str(script), *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_lists_stages_and_options_with_defaults(recipe):
    done = run("--help", recipe=recipe)
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert [line.split()[0] for line in lines if line[:2].strip().isdigit()] == [str(i) for i in range(9)]
    assert any(line.startswith("--feature-type") and "(default: " in line for line in lines)
    assert any(line.startswith("--stop-stage") and "(default: 8)" in line for line in lines)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["3"], "stray argument '3'"),
        (["--subset", "-3"], "--subset must be a whole number above 0, not '-3'"),
        (["--subset", "x"], "--subset must be a whole number above 0, not 'x'"),
        (["--feature-typ", "fbank"], "unknown option --feature-typ, did you mean --feature-type?"),
        (["--stage"], "option --stage needs a value"),
    ],
)
def test_mistakes_in_options(arguments, complaint):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_unknown_feature_type_lists_the_known_ones():
    done = run("--feature-type", "mfc_km500")
    assert done.returncode == 2 and done.stdout == ""
    known = {path.stem for path in (ROOT / "icefall_discrete" / "conf" / "features").glob("*.json")}
    assert known
    assert "unknown feature type 'mfc_km500'; did you mean mfcc_km500? known: " in done.stderr
    assert known <= set(done.stderr.rstrip(".\n").split("known: ")[1].split(", "))


def test_unknown_recipe_lists_the_known_ones():
    done = run("--recipe", "fulll")
    assert done.returncode == 2
    assert "unknown recipe 'fulll'; did you mean full? known: " in done.stderr
    known = done.stderr.rstrip(".\n").split("known: ")[1].split(", ")
    assert {"default", "full", "paper_icassp2024"} <= set(known) and len(set(known)) == len(known)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_option_is_used(recipe):
    text = (ROOT / "egs" / recipe / "ASR" / "run.sh").read_text()
    head, body = text.split("tools/parse_options.sh", 1)
    shared = [(ROOT / "tools" / name).read_text() for name in ("recipe_options.sh", "recipe.sh")]
    options = re.findall(r"^([a-z][a-z0-9_]*)=.*# ", head + shared[0], flags=re.MULTILINE)
    assert len(set(options)) > 10
    named = [
        word for line in body.splitlines() if line.startswith("corpus_options=") for word in re.findall(r"\w+", line)
    ]
    code = body + shared[1]
    planned = re.findall(r"options\.(\w+)", PLANNER) + re.findall(r'"(\w+)"', PLANNER)
    used = {*named, *planned, "stage", "stop_stage", "dry_run"}  # the last three belong to every task
    unused = [name for name in options if f"${name}" not in code and f"${{{name}" not in code and name not in used]
    assert unused == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_feature_type_is_named_in_the_code(recipe):
    body = (ROOT / "egs" / recipe / "ASR" / "run.sh").read_text().split("tools/parse_options.sh", 1)[1]
    known = [path.stem for path in (ROOT / "icefall_discrete" / "conf" / "features").glob("*.json")]
    assert [name for name in known if name in body + PLANNER + (ROOT / "tools" / "recipe.sh").read_text()] == []
