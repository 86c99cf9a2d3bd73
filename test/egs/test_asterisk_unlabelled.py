"""egs/asterisk/SSL: choices only, on the corpus and the codes of the recogniser's recipe, which begins with it."""

import json

from recipe_checks import recipe_folder, run_sh
from stand_in import ASTERISK

from icefall_discrete.experiment.recipe_files import read_recipe

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
