"""Recipes that tell classes apart: their run.sh, their settings, the figures beside theirs."""

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.experiment.recipe_files import base_file, read_recipe
from icefall_discrete.results.published import published_table
from icefall_discrete.systems.classification.network import build_classifier
from icefall_discrete.systems.classification.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [path.parent for path in sorted((ROOT / "egs").glob("*/*/run.sh")) if path.parent.name != "ASR"]
RECIPES = [
    path
    for folder in FOLDERS
    for path in sorted(folder.glob("conf/recipes/*.json"))
    if read_recipe(path).get("system") == "classification"
]
SPEC = FeatureSpec("some_codes", "codes", 16000, 50.0, 2, (500, 320), 0)


def _name(path):
    return "/".join(path.relative_to(ROOT / "egs").parts)


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_help_lists_stages_and_options(folder):
    done = subprocess.run(["bash", str(folder / "run.sh"), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert [line.split()[0] for line in lines if line[:2].strip().isdigit()] == ["0", "1", "2", "3", "4", "6", "7", "8"]
    assert any(line.startswith("--feature-type") and "(default: " in line for line in lines)


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_every_option_is_used(folder):
    head, body = (folder / "run.sh").read_text().split("tools/parse_options.sh", 1)
    own = set(re.findall(r"^([a-z][a-z0-9_]*)=.*# ", head, flags=re.MULTILINE)) - {"feature_type", "speed_factors"}
    assert not [name for name in own if f"${name}" not in body and f"${{{name}" not in body]


@pytest.mark.parametrize("path", RECIPES, ids=_name)
def test_recipe_builds_and_repeats_nothing_of_its_base(path):
    recipe, written = read_recipe(path), read_json(path)
    assert recipe["description"] == written["description"] and recipe["system"] == "classification"
    settings = read_settings(path, None, [path.parents[1]], SimpleNamespace())
    assert TrainSettings.from_dict(settings.to_dict(), str(path)) == settings
    assert build_classifier(settings.model, SPEC, 3, AugmentConfig()).head is not None
    assert from_dict(CheckpointChoice, recipe["average"], str(path)).avg >= 1
    base = read_recipe(base_file(written["based_on"], path))
    for section, values in written.items():
        if isinstance(values, dict):
            assert not [key for key, value in values.items() if base.get(section, {}).get(key) == value], section


@pytest.mark.parametrize("path", [*ROOT.glob("egs/*/*/conf/published.json")], ids=_name)
def test_published_figures_make_a_table(path):
    assert published_table(read_json(path), []).count("\n") >= len(read_json(path))
