"""The recipe of two corpora: what it would do, and that its choices are those of both."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.tokenizers import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "egs" / "seven" / "ASR"
PARTS = ("asterisk", "fillets")


def first_stages(*arguments):
    """What a dry run says of stages 0 and 1."""
    command = ["bash", str(RECIPE / "run.sh"), "--dry-run", "true", *map(str, arguments)]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return printed[: printed.index("Stage 2:")]


def languages_of(corpus):
    script = (ROOT / "egs" / corpus / "ASR" / "run.sh").read_text()
    return re.search(r'known_languages="([^"]*)"', script)[1].split()


def test_its_languages_are_those_of_both_corpora():
    assert languages_of("seven") == sorted(language for corpus in PARTS for language in languages_of(corpus))


def test_corpora_are_fetched_where_their_own_recipes_look_for_them_and_joined():
    plan = first_stages()
    for corpus in PARTS:
        folder = ROOT / "egs" / corpus / "ASR"
        assert f"{folder}/local/download.py --dl-dir {folder}/download" in plan
        assert f"{folder}/local/prepare.py --corpus-dir {folder}/download/{corpus} --data-dir {RECIPE}/data" in plan
    made = plan[plan.index("Stage 1:") :].splitlines()[1:]
    assert [re.search(r"(\w+)\.py", line)[1] for line in made] == ["prepare", "prepare", "join_manifests"]
    assert "--corpora asterisk,fillets --corpus seven" in made[-1]


def test_a_folder_of_packages_that_is_not_there_is_refused():
    for recipe in (RECIPE, ROOT / "egs" / "fillets" / "ASR"):
        command = ["./run.sh", "--dry-run", "true", "--packages-dir", "/nonexistent"]
        done = subprocess.run(command, cwd=recipe, capture_output=True, text=True)
        assert done.returncode == 2 and "run.sh: --packages-dir /nonexistent is no folder" in done.stderr


def test_another_folder_and_a_subset_are_those_of_both(tmp_path):
    plan = first_stages("--dl-dir", tmp_path, "--subset", 50)
    assert plan.count(f"--dl-dir {tmp_path} ") + plan.count(f"--dl-dir {tmp_path}\n") == 2
    # About as many utterances of each language: five of them here, two there.
    assert re.findall(r"--subset (\d+)", plan) == ["36", "15"]


def test_recipes_differ_in_what_they_are_there_to_compare():
    recipes = {path.stem: read_recipe(path) for path in (RECIPE / "conf" / "recipes").glob("*.json")}
    assert set(recipes) == {"balanced", "default", "full", "lang_pieces", "lang_token"}
    default, number = recipes["default"], len(languages_of("seven"))
    assert recipes["lang_token"]["bpe"] == {
        "vocab_size": default["bpe"]["vocab_size"] + number,
        "language_token": True,
    }
    assert recipes["lang_pieces"]["bpe"] == {"vocab_size": 70, "language_token": True, "by_language": True}
    assert recipes["balanced"]["loader"]["language_temperature"] == 3.3
    for name in ("lang_token", "lang_pieces", "balanced"):
        assert recipes[name]["train"] == default["train"]


@pytest.mark.parametrize("path", sorted((RECIPE / "conf" / "features").glob("*.json")), ids=lambda path: path.stem)
def test_feature_types_differ_from_the_packages_in_clusters_and_ids_only(path):
    values = json.loads(path.read_text())
    packaged = ROOT / "icefall_discrete" / "conf" / "features"
    shared = json.loads((packaged / "whisper_base_km1000.json").read_text())
    for values_of_one in (values, shared):
        for name in ("tokenizer", "num_clusters", "own_ids"):
            values_of_one.pop(name, None)
    assert values == shared
    assert load_tokenizer(path).needs_language == ("by_language" in path.stem)
