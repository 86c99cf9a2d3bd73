"""The recipe that is made of an own corpus: whole or absent, taken by the planner, and never in place of another."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from icefall_discrete.data.own_corpora.preparation import SourceConfig
from icefall_discrete.experiment.own_recipe import NewRecipe, make_recipe
from icefall_discrete.experiment.plan import told_stages
from icefall_discrete.experiment.recipe_files import read_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a source's folder") / "audio here"
    folder.mkdir()
    for number in range(12):
        samples = 0.1 * np.random.default_rng(number).standard_normal(4000)
        soundfile.write(folder / f"u{number}.flac", samples, 8000)
        (folder / f"u{number}.lab").write_text(f"Das ist {chr(97 + number)}.")
    return folder


@pytest.fixture
def tree(tmp_path):
    """A repository without data, so that nothing is written into ours."""
    for name in ("icefall_discrete", "local", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_a_recipe_is_made_and_planned(source, tree):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in source.iterdir())
    new = NewRecipe("mine", tree / "egs", "fbank")
    config = SourceConfig(source=str(source), language="de", text_rule="written", columns="speaker=folder")
    told = make_recipe(new, config, 1, 4)
    assert f"{new.folder} is made" in told and re.search(r"\| all \| 0\.00[1-9] \| 12 \|", told)
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in source.iterdir())
    settings = read_recipe(new.folder / "conf" / "recipes" / "default.json")
    assert settings["bpe"]["piece_type"] == "char"  # of so little text nothing else can be learnt
    assert os.access(new.folder / "run.sh", os.X_OK)
    done = subprocess.run(["bash", new.folder / "run.sh", "--dry-run", "true"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stages = told_stages(done.stdout)
    assert [stage.number for stage in stages] == list(range(9))
    (prepare,) = stages[1].commands
    flags = dict(zip(prepare[2::2], prepare[3::2]))
    assert (flags["--text-rule"], flags["--language"], flags["--columns"]) == ("written", "de", "speaker=folder")
    assert Path(flags["--source"]).resolve() == source.resolve()
    helped = subprocess.run(["bash", new.folder / "run.sh", "--help"], capture_output=True, text=True)
    assert "--text-rule          words: lower case without punctuation" in helped.stdout
    assert "(default: written)" in helped.stdout  # a choice keeps the option's help


def test_a_recipe_is_whole_or_absent(source, tree, tmp_path):
    config = SourceConfig(source=str(source), language="de")
    (tree / "egs" / "mine").mkdir(parents=True)
    with pytest.raises(ValueError, match="egs/mine is there already; choose another name"):
        make_recipe(NewRecipe("mine", tree / "egs"), config, 1, 0)
    with pytest.raises(ValueError, match="the name of the corpus is 'My-Corpus', expected small letters"):
        make_recipe(NewRecipe("My-Corpus", tree / "egs"), config, 1, 0)
    empty = tmp_path / "empty"
    shutil.copytree(source, empty)
    for path in empty.glob("*.lab"):
        path.write_text("[noise]")
    with pytest.raises(RuntimeError, match=r"no utterance is left of 12 \(tags, which are no words: 12\)"):
        make_recipe(NewRecipe("other", tree / "egs"), SourceConfig(source=str(empty), language="de"), 1, 0)
    assert [path.name for path in (tree / "egs").iterdir()] == ["mine"]
    with pytest.raises(ValueError, match="--language is 'German', expected a code"):
        make_recipe(NewRecipe("other", tree / "egs"), SourceConfig(source=str(source), language="German"), 1, 0)


def test_the_command_says_what_is_missing():
    script = ROOT / "tools" / "new_corpus.sh"
    for flags, sentence in (
        ([], "the name of the corpus comes first"),
        (["mine"], "--from is missing"),
        (["mine", "--from", "."], "--language is missing"),
        (["mine", "--form", "."], "unknown option --form, did you mean --from?"),
    ):
        done = subprocess.run(["bash", script, *flags], capture_output=True, text=True)
        assert done.returncode == 2 and sentence in done.stderr
