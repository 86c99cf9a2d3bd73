"""egs/fillets/SID: choices only, on the corpus of the recogniser's recipe."""

from recipe_checks import ROOT, feature_type_of_environment, pipeline_in, recipe_folder, run_recipe, run_sh
from stand_in import clips
from test_fillets import RATES, write_packages

RECIPE = "fillets/SID"


def test_it_takes_the_corpus_of_the_other_recipe_and_chooses_voices(tmp_path):
    assert list(recipe_folder(RECIPE).rglob("*.py")) == []
    done = run_sh(RECIPE, "--dry-run", "true", "--subset", 9, "--data-dir", tmp_path, "--min-utterances", 3)
    assert done.returncode == 0, done.stdout
    assert f"{ROOT}/egs/fillets/ASR/local/prepare.py" in done.stdout and "--subset 9" in done.stdout
    assert "--corpus fillets_speakers --fact speaker --min-utterances 3" in done.stdout
    assert "--facts speaker" in done.stdout
    assert f"--results-dir {recipe_folder(RECIPE)}/results" not in done.stdout, "a subset's figures are no results"
    assert "--languages has 'xx'" in run_sh(RECIPE, "--languages", "cs,xx").stdout


@pipeline_in("portable")
def test_run_sh(tmp_path):
    said = {
        (language, "cave"): {
            f"x-{i}": (f"font_{('small', 'big')[i % 2]}", clip.text, clip.samples)
            for i, clip in enumerate(clips(60, seed=seed))
        }
        for seed, language in enumerate(RATES)
    }
    write_packages(tmp_path / "download" / "fillets" / "packages", said)
    flags = ("--check-counts", "false", "--min-utterances", 5)
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert list(result["sets"]["test"]["languages"]) == ["cs", "nl"]
