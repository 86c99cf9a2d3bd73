"""Recipes that say what differs from another one."""

import functools
import json
from pathlib import Path

import pytest
from forked import run_forked

from icefall_discrete.experiment.recipe_files import SHARED_DIR, read_recipe
from icefall_discrete.training.optimizers.adam import AdamConfig

EGS = Path(__file__).resolve().parents[2] / "egs"
# What the public code of the authors has, and recipes that name it say they have.
DEFAULTS = {"annealing_factor": AdamConfig.annealing_factor}  # recipes need not say it
DASB_ADAM = {"schedule": "newbob", "annealing_factor": 0.9, "weight_decay": 0.0}
PUBLISHED = {
    SHARED_DIR / "wav2vec2_base.json": {"model.encoder": {"input_dropout": 0.1}},
    SHARED_DIR / "wav2vec2_large.json": {"model.encoder": {"input_dropout": 0.0, "layer_dropout": 0.0}},
    SHARED_DIR / "hubert_base.json": {"model.encoder": {"input_dropout": 0.1}, "train": {"max_grad_norm": 10.0}},
    **{
        EGS / task / "conf" / "recipes" / "default.json": {
            "train.optimizer": {
                "schedule": "newbob",
                "peak_lr": 0.0005,
                "annealing_factor": 0.9,
                "annealing_patience": 1,
                "betas": [0.9, 0.98],
                "weight_decay": 0.01,
                "decoupled": True,
            },
            "train": {"num_epochs": epochs, "max_grad_norm": 5.0},
        }
        for task, epochs in (("voicebank_demand/SE", 50), ("libri2mix/SS", 70))
    },
    **{
        EGS / task / "conf" / "recipes" / f"{name}.json": {
            "train.optimizer": {**DASB_ADAM, "peak_lr": rate, "annealing_factor": factor},
            "train": {"num_epochs": epochs},
            "loader": {"max_cuts": batch},
            "filter": {"use_speed_copies": False},
        }
        for task, name, rate, factor, epochs, batch in (
            ("speech_commands/KWS", "xvector", 0.001, 0.9, 50, 32),
            ("speech_commands/KWS", "ecapa", 0.001, 0.9, 50, 32),
            ("iemocap/ER", "ecapa", 0.0002, 0.9, 30, 2),
            ("iemocap/ER", "linear", 0.0002, 0.9, 30, 2),
            ("slurp/IC", "linear", 0.0002, 0.8, 20, 2),
            ("slurp/IC", "bilstm", 0.0002, 0.8, 20, 2),
        )
    },
    **{
        EGS / "voxceleb" / f"{name}.json": {
            "train.optimizer": {"peak_lr": 0.001, "weight_decay": 2e-6},
            "train": {"num_epochs": 15},
            "loader": {"max_cuts": 8, "crop_sec": 3.0},
        }
        for name in (
            "SID/conf/recipes/xvector",
            "SID/conf/recipes/ecapa",
            "SV/conf/recipes/xvector",
            "SV/conf/recipes/default",
        )
    },
    SHARED_DIR / "espnet_asr2.json": {
        "train.optimizer": {"peak_lr": 0.006, "warmup_steps": 15000},
        "train": {"num_epochs": 70},
        "augment": {"num_frame_masks": 10, "frames_mask_fraction": 0.05, "unit_bpe_alpha": 0.4},
        "loss": {"ctc_loss_scale": 0.3, "attention_decoder_loss_scale": 0.7},
        "decode": {"decoding_method": "joint_beam_search", "beam_size": 20},
        "average": {"avg": 10},
    },
    SHARED_DIR / "dasb_ctc.json": {
        "train.optimizer": {**DASB_ADAM, "peak_lr": 0.0002, "annealing_factor": 0.8},
        "train": {"num_epochs": 20},
        "loader": {"max_cuts": 4},
        "filter": {"use_speed_copies": False},
    },
}


def write(path, **recipe):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recipe))
    return path


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: "-".join(path.with_suffix("").parts[-5:]))
def test_recipes_have_the_figures_of_the_code_that_they_name(path):
    recipe = read_recipe(path)
    for section, values in PUBLISHED[path].items():
        said = functools.reduce(dict.__getitem__, section.split("."), recipe)
        assert {name: said.get(name, DEFAULTS.get(name)) for name in values} == values, section


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
