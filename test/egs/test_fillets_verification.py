"""egs/fillets/SV: choices only, on the corpus of the recogniser's recipe, and trials within a language."""

from pathlib import Path

import pytest
from recipe_checks import ROOT, recipe_folder, run_sh
from toy_corpus import make_cuts, run_stage_script

from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.data.manifests import manifest_path
from icefall_discrete.data.trials import read_trials

RECIPE = "fillets/SV"


def test_it_takes_the_corpus_of_the_other_recipe_chooses_voices_and_draws_trials(tmp_path):
    assert list(recipe_folder(RECIPE).rglob("*.py")) == []
    done = run_sh(RECIPE, "--dry-run", "true", "--subset", 9, "--data-dir", tmp_path, "--num-trials", 7)
    assert done.returncode == 0, done.stdout
    assert f"{ROOT}/egs/fillets/ASR/local/prepare.py" in done.stdout and "--subset 9" in done.stdout
    assert "--corpus fillets_verification --fact speaker --min-utterances 20" in done.stdout
    assert "--corpus fillets_verification --within language" in done.stdout and "--num-trials 7" in done.stdout
    assert f"--trials {tmp_path}/trials" in done.stdout
    assert f"--results-dir {recipe_folder(RECIPE)}/results" not in done.stdout, "a subset's figures are no results"


@pytest.fixture
def manifests(tmp_path) -> Path:
    """Cuts of one split in two languages by turns, of two voices each."""
    cuts = make_cuts(tmp_path / "audio", 12)
    for number, cut in enumerate(cuts):
        cut.supervisions[0].language = ("cs", "nl")[number % 2]
        cut.supervisions[0].speaker = f"{('cs', 'nl')[number % 2]}-{number % 4 // 2}"
    write_cuts(manifest_path(tmp_path, "some", "dev"), cuts)
    return tmp_path


def draw(folder, *flags):
    files = ("--manifests-dir", folder, "--corpus", "some", "--splits", "dev", "--trials-dir", folder / "trials")
    return run_stage_script("draw_trials.py", *files, *flags, check=False)


def test_both_utterances_of_a_trial_are_of_one_language(manifests):
    assert draw(manifests, "--within", "language", "--num-trials", 4).returncode == 0
    trials = read_trials(manifests / "trials" / "dev.txt")
    assert sum(trial.is_target for trial in trials) == len(trials) - sum(trial.is_target for trial in trials) == 8
    assert all(int(trial.left[3:]) % 2 == int(trial.right[3:]) % 2 for trial in trials)
    assert draw(manifests).returncode == 0
    assert any(int(one.left[3:]) % 2 != int(one.right[3:]) % 2 for one in read_trials(manifests / "trials" / "dev.txt"))


def test_a_fact_that_is_not_known_is_refused(manifests):
    assert "the colour of cut utt000 is not known" in draw(manifests, "--within", "colour").stderr
