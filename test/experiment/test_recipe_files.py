"""Recipes that say what differs from another one."""

import json

import pytest
from forked import run_forked

from icefall_discrete.experiment.recipe_files import SHARED_DIR, read_recipe


def write(path, **recipe):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recipe))
    return path


def test_settings_of_three_recipes_are_merged_one_by_one(tmp_path):
    write(tmp_path / "first.json", description="1", model_size="tiny", train={"num_epochs": 6, "base_lr": 0.04})
    write(tmp_path / "second.json", description="2", based_on="first", train={"num_epochs": 24}, bpe={"vocab_size": 80})
    third = write(
        tmp_path / "third.json", description="3", based_on="second", model_size="small", bpe={"vocab_size": 9}
    )
    assert read_recipe(third) == {
        "description": "3",
        "model_size": "small",
        "train": {"num_epochs": 24, "base_lr": 0.04},
        "bpe": {"vocab_size": 9},
    }


def test_a_list_is_replaced_and_not_merged(tmp_path):
    write(tmp_path / "first.json", model={"dropout": [0.1, 0.2]})
    assert read_recipe(write(tmp_path / "second.json", based_on="first", model={"dropout": [0.3]}))["model"] == {
        "dropout": [0.3]
    }


def test_a_corpus_extends_the_shared_recipe_of_the_same_name(tmp_path):
    own = write(tmp_path / "default.json", based_on="default", train={"num_epochs": 7})
    shared = read_recipe(SHARED_DIR / "default.json")
    assert read_recipe(own) == {**shared, "train": {**shared["train"], "num_epochs": 7}}


def test_a_base_may_be_a_file(tmp_path):
    write(tmp_path / "there" / "first.json", bpe={"vocab_size": 5})
    assert read_recipe(write(tmp_path / "second.json", based_on="there/first.json"))["bpe"] == {"vocab_size": 5}


@pytest.mark.parametrize(
    "recipe, complaint",
    [
        (
            {"based_on": "firts"},
            r"own.json: based_on is 'firts'; did you mean first\? known: .*first.*, or a file",
        ),
        ({"based_on": "own"}, r"own.json is based on itself; correct based_on in .*own.json"),
        ({"based_on": "first"}, r"own.json is based on itself; correct based_on in .*first.json"),
    ],
)
def test_mistakes_are_one_sentence(recipe, complaint, tmp_path):
    write(tmp_path / "first.json", based_on="own")
    with pytest.raises(ValueError, match=complaint):
        read_recipe(write(tmp_path / "own.json", **recipe))


def test_a_file_that_is_no_object(tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"list.json holds a list, expected an object with a section for each stage"):
        read_recipe(tmp_path / "list.json")


def test_the_whole_recipe_can_be_printed(tmp_path):
    write(tmp_path / "first.json", bpe={"vocab_size": 5})
    recipe = write(tmp_path / "second.json", based_on="first", description="é")
    done = run_forked("local/show_recipe.py", recipe)
    assert json.loads(done.stdout) == {"bpe": {"vocab_size": 5}, "description": "é"}
    recipe.unlink()
    done = run_forked("local/show_recipe.py", recipe)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "second.json does not exist" in done.stderr
