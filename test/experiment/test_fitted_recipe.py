"""Recipes that fit themselves to the hours of the corpus and to the device, once, and say what they chose."""

import json
from pathlib import Path
from types import SimpleNamespace as Namespace

import pytest

from icefall_discrete import CONF_DIR
from icefall_discrete.experiment.fitted_recipe import (
    Facts,
    check_conditions,
    fitted_recipe,
    has_conditions,
    known_facts,
    what_was_chosen,
)
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.experiment.recipe_files import read_recipe

DEFAULT = CONF_DIR / "recipes" / "default.json"


def settings(recipe, facts, **flags):
    return read_settings(recipe, None, [], Namespace(**flags), facts)


def test_a_large_corpus_on_gpus_is_trained_as_before():
    assert settings(DEFAULT, Facts(100.0, "cuda")) == settings(DEFAULT, None)
    assert fitted_recipe(DEFAULT, None) == read_recipe(DEFAULT)
    assert what_was_chosen(DEFAULT, Facts(960.0, "cuda")) == ""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_small_corpus_has_the_recipe_for_small_ones(device):
    found = settings(DEFAULT, Facts(1.5, device))
    small = settings(CONF_DIR / "recipes" / "small_corpus.json", None)
    assert (found.model, found.loader, found.train, found.loss) == (small.model, small.loader, small.train, small.loss)
    assert len(found.model.encoder.encoder_dim) == 4 and found.train.precision == "fp32"
    said = what_was_chosen(DEFAULT, Facts(1.5, device))
    assert f"fits itself to 1.50 hours of training audio on {device}: " in said and "model_size 'tiny'" in said


def test_a_processor_gets_a_model_that_it_can_train():
    found = settings(DEFAULT, Facts(100.0, "cpu"))
    assert found.train.precision == "fp32" and found.train.num_epochs == 30 and found.loader.max_duration == 112.0
    assert found.model.encoder.encoder_dim == (192, 256, 256, 256, 256, 256)


def test_what_is_based_on_it_and_flags_come_before(tmp_path):
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"based_on": "default", "train": {"num_epochs": 7}, "bpe": {"vocab_size": 60}}))
    assert has_conditions(own)
    found = settings(own, Facts(1.5, "cpu"), **{"loader.max_duration": "33"})
    assert (found.train.num_epochs, found.loader.max_duration, found.train.lr_batches) == (7, 33.0, 1500.0)
    assert read_settings(own, "small", [], Namespace(), Facts(1.5, "cpu")).model.encoder.num_stacks == 6
    merged = fitted_recipe(own, Facts(1.5, "cpu"))
    assert merged["bpe"] == {"vocab_size": 60} and merged["average"]["avg"] == 9 and "when" not in merged
    assert merged["train"]["num_epochs"] == 7 and merged["fitted_to"] == {"hours": 1.5, "device": "cpu"}


def test_it_is_asked_once(tmp_path):
    assert known_facts(tmp_path / "recipe.json") is None
    (tmp_path / "recipe.json").write_text(json.dumps(fitted_recipe(DEFAULT, Facts(1.5, "cpu"))))
    assert known_facts(tmp_path / "recipe.json") == Facts(1.5, "cpu")
    assert settings(tmp_path / "recipe.json", None).model == settings(DEFAULT, Facts(1.5, "cpu")).model


@pytest.mark.parametrize(
    "conditions, sentence",
    [
        ("cpu", "x.json: 'when' is 'cpu', expected a list of objects"),
        ([{"train": {}}], "x.json: an entry of 'when' has no condition; known: below_hours, device"),
        ([{"below_hours": "ten"}], "x.json: 'when': setting 'hours' is 'ten'"),
        ([{"device": "tpu"}], "x.json: 'when': setting 'device' is 'tpu'"),
        ([{"device": "cpu", "based_on": "smal_corpus"}], "did you mean small_corpus"),
    ],
)
def test_mistakes_in_conditions(conditions, sentence):
    with pytest.raises(ValueError) as error:
        check_conditions(conditions, Path("x.json"))
    assert sentence in str(error.value)
