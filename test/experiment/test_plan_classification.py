"""The plan of a recipe that tells classes apart: no text, the fact that cuts must have, stages found by the system."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from planned_runs import arguments, asked

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.experiment.stages import asr, classification
from icefall_discrete.systems.classification.network import build_classifier
from icefall_discrete.systems.classification.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[2]
RECIPES = [
    path
    for path in sorted(ROOT.glob("egs/*/*/conf/recipes/*.json"))
    if read_recipe(path).get("system") == "classification"
]
CODES = FeatureSpec("some_codes", "codes", 16000, 50.0, 2, (500, 320), 0)
RECIPE = {"system": "classification", "model_size": "tiny", "target": {"fact": "speaker"}, "train": {"num_epochs": 3}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A recipe's folder, the working folder."""
    folder = tmp_path / "egs" / "toy" / "SID"
    (folder / "conf" / "recipes").mkdir(parents=True)
    (folder / "conf" / "recipes" / "default.json").write_text(json.dumps(RECIPE))
    monkeypatch.chdir(folder)
    return folder


def plan_of(here, flags=(), **given):
    return classification.plan(asked(ROOT, here, flags, **given))


def test_there_are_no_pieces_and_cuts_must_have_the_fact(here):
    plan = plan_of(here)
    assert [stage.number for stage in plan.stages] == [1, 2, 3, 4, 6, 7, 8]
    check, train = arguments(plan, "check_cuts"), arguments(plan, "train")
    assert check[check.index("--facts") + 1] == "speaker" and "--lang-dir" not in train
    assert "--decoding-method" not in arguments(plan, "decode")
    assert plan.shown == "exp/fbank_default/classification/scores.txt"
    check = arguments(plan_of(here, flags=[("fact", "language")]), "check_cuts")
    assert check[check.index("--facts") + 1] == "language"


def test_codes_of_another_task_of_the_corpus_count_as_made(here):
    plan, text = plan_of(here), json.dumps({"bpe": {"vocab_size": 10}})
    (here / "conf" / "recipes" / "default.json").write_text(text)
    other = asr.plan(asked(ROOT, here))
    by_number = {stage.number: stage for stage in other.stages}
    for stage in plan.stages[:4]:
        assert (stage.marker, stage.settings) == (by_number[stage.number].marker, by_number[stage.number].settings)


def test_all_sections_are_known(here):
    assert set(classification.SECTIONS) == {*TrainSettings.sections(), "average"}


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"lm": "ngram"}, "--lm is about text, and a classifier has none"),
        ({"decoding_method": "1best"}, "--decoding-method is about text"),
        ({"num_epochs": "many"}, "--num-epochs is 'many', expected a whole number"),
    ],
)
def test_what_is_of_text_or_wrong_is_refused(here, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        plan_of(here, **given)


def test_a_recipe_of_another_system_is_refused(here):
    path = here / "conf" / "recipes" / "default.json"
    path.write_text(json.dumps({**RECIPE, "bpe": {}}))
    with pytest.raises(ValueError, match="unknown section bpe"):
        plan_of(here)
    path.write_text(json.dumps({"train": {}}))
    with pytest.raises(ValueError, match="is a recipe of system asr; these stages are of classification"):
        plan_of(here)


def test_stages_are_those_of_the_folder_or_else_of_the_system(here):
    module_spec = importlib.util.spec_from_file_location("planning", ROOT / "local" / "plan.py")
    planning = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(planning)
    assert planning.module_of("asr", asked(ROOT, here)) == asr.__name__
    assert planning.module_of("sid", asked(ROOT, here)) == classification.__name__
    (here / "conf" / "recipes" / "default.json").write_text(json.dumps({"system": "singing"}))
    with pytest.raises(ValueError, match="there are no stages of singing; known: asr, classification"):
        planning.module_of("sid", asked(ROOT, here))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: "/".join(path.parts[-5:-3]))
def test_recipes_that_ship_are_planned_and_build_what_they_describe(path, monkeypatch):
    assert read_recipe(path)["description"]
    monkeypatch.chdir(path.parents[2])
    plan = plan_of(path.parents[2], recipe=path.stem)
    assert [stage.number for stage in plan.stages] == [1, 2, 3, 4, 6, 7, 8]
    settings = read_settings(path, None, [path.parents[1]], SimpleNamespace())
    network = build_classifier(settings.model, CODES, 5, settings.augment).eval()
    logits = network.classify(torch.zeros(2, 60, 2, dtype=torch.int64), torch.tensor([60, 30]))
    assert logits.shape == (2, 5) and logits.isfinite().all()
