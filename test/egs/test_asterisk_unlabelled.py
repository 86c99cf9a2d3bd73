"""egs/asterisk/SSL: choices only, on the corpus and the codes of the recogniser's recipe, which begins with it."""

import json
import os
from pathlib import Path

from recipe_checks import recipe_folder, run_sh
from stand_in import ASTERISK, ENVIRONMENT, ROOT

from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.results.planned_rows import Trust, planned, wanted_rows

RECIPE = "asterisk/SSL"
FEATURES = "whisper_base_l5l0_2km1000"


def test_it_plans_the_corpus_and_the_codes_of_the_other_recipe(tmp_path):
    assert list(recipe_folder(RECIPE).rglob("*.py")) == []
    done = run_sh(RECIPE, "--dry-run", "true", "--subset", 9, "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stdout
    assert f"{ASTERISK}/local/prepare.py" in done.stdout and f"{tmp_path}/data/features/{FEATURES}" in done.stdout
    assert "--facts ," in done.stdout, "no transcript is needed"
    assert "--decoding-method masked_prediction" in done.stdout and "train_bpe" not in done.stdout
    mistaken = run_sh(RECIPE, "--dry-run", "true", "--lm", "ngram")
    assert mistaken.returncode == 2 and "--lm is about text, and Discrete BERT needs none" in mistaken.stdout


def test_recognisers_begin_with_what_it_makes():
    ours, theirs = recipe_folder(RECIPE), recipe_folder("asterisk")
    own = read_recipe(ours / "conf" / "recipes" / "default.json")
    for share in ("100", "10", "1", "self_10", "self_1", "ctc_10"):
        recipe = read_recipe(theirs / "conf" / "recipes" / f"bert_{share}.json")
        assert (theirs / recipe["init"]["init_from"]).resolve().parent == ours / "exp"
        assert recipe["init"]["init_from"].endswith(f"/{FEATURES}_default")
        assert recipe["model_size"] == own["model_size"]
        for name in ("embedding_dim", "embedding_init", "input_frame_rate_hz", "front_end"):
            assert recipe["model"].get(name) == own["model"].get(name, recipe["model"].get(name))
    rows = json.loads((theirs / "conf" / "rows.json").read_text())["rows"]
    teachers = [one["teacher"] for row in rows for one in row.get("each", ()) if "teacher" in one]
    assert len(teachers) == 4


def test_seeds_of_wav2vec_u_are_planned_as_other_trainings_are(tmp_path):
    small = ("--recipe", "wav2vec_u_small", "--dry-run", "true", "--data-dir", tmp_path / "data", "--languages", "es")
    done = run_sh(RECIPE, *small, "--num-seeds", 8, "--beam-size", 4)
    assert done.returncode == 0, done.stdout
    folder, features = f"exp/{FEATURES}_wav2vec_u_small_es", f"{tmp_path}/data/features/{FEATURES}"
    assert f"Stage 6: seeds of {folder}: to be run" in done.stdout
    text = f"--text-cuts {tmp_path}/data/manifests/asterisk_cuts_train.jsonl.gz --num-seeds 8"
    for said in (
        f"local/train_unsupervised.py --config {ROOT}/icefall_discrete/conf/recipes/wav2vec_u_small.json",
        f"--feature-dir {features} --train-split train --dev-split dev --exp-dir {folder} --languages es {text}",
        f"local/say_unsupervised.py --exp-dir {folder} --feature-dir {features} --languages es --all-seeds true",
        f"local/score_unsupervised.py --exp-dir {folder} --feature-dir {features} --beam-size 4 --splits dev,test "
        f"--recipe wav2vec_u_small_es_num-seeds-8 --results-dir {recipe_folder(RECIPE)}/results --settings-digest ",
        "Stage 8: errors of all seeds: to be run",
        f"tools/make_results.py --results-dir {recipe_folder(RECIPE)}/results --output ",
        f"--pseudo-labels {tmp_path}/data/pseudo/{Path(folder).name}/train.jsonl.gz --beam-size 4",
    ):
        assert said in done.stdout, said
    other = run_sh(RECIPE, *small, "--steps", 50, "--shuffle-text", "true")
    control = f"seeds of {folder}_shuffle-text-true_steps-50"
    assert control in other.stdout, "another training is another folder, more seeds are not"
    assert "--recipe wav2vec_u_small_es_steps-50 " in other.stdout, "scoring adds what training noted of its text"
    here, further = recipe_folder(RECIPE), ["--env", ENVIRONMENT, "--data-dir", str(tmp_path / "data")]
    row, control = (planned(here, options, os.environ, further) for options in wanted_rows(here, ["wav2vec_u_small"]))
    assert row.is_of_seeds and row.training["num-seeds"] == "5" and row.exp_dir == here / folder
    assert row.recipe_file == ROOT / "icefall_discrete" / "conf" / "recipes" / "wav2vec_u_small.json"
    assert row.what_is_to_do(Trust(), "no such device") == "to do"
    assert control.exp_dir == here / f"{folder}_shuffle-text-true"
    assert control.scoring["recipe"] == row.scoring["recipe"] == "wav2vec_u_small_es_num-seeds-5"
    published = run_sh(RECIPE, *small, "--recipe", "wav2vec_u2")
    assert published.returncode == 2 and "loss.units is 0.5 and there is no --unit-feature-dir" in published.stdout
    absent = run_sh(RECIPE, *small, "--text-file", tmp_path / "none.txt")
    assert absent.returncode == 2 and "none.txt does not exist" in absent.stdout
    mistaken = run_sh(RECIPE, *small, "--num-epochs", 3)
    assert mistaken.returncode == 2 and "--num-epochs says nothing to wav2vec-U" in mistaken.stdout
