"""egs/asterisk/TTS: choices only, on the corpus, the manifests and the codes of the recogniser's recipe."""

from recipe_checks import feature_type_of_environment, pipeline_in, recipe_folder, run_recipe, run_sh
from stand_in import ASTERISK, clips

from icefall_discrete.inference import resynthesis_command

RECIPE = "asterisk/TTS"


def test_it_plans_the_corpus_and_the_codes_of_the_other_recipe(tmp_path):
    assert list(recipe_folder(RECIPE).rglob("*.py")) == []
    done = run_sh(RECIPE, "--dry-run", "true", "--subset", 9, "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stdout
    assert f"{ASTERISK}/local/prepare.py" in done.stdout and f"{tmp_path}/data/features/mfcc_km500" in done.stdout
    assert "--decoding-method resynthesis" in done.stdout and "hear_speech" not in done.stdout


def test_mistakes_are_told(tmp_path):
    sentences = {
        ("--recogniser-exp-dir", tmp_path): "holds no experiment; paths are relative to the recipe's folder",
        ("--shar", "true"): "--shar true leaves audio out",
        ("--lm", "ngram"): "--lm is about text, and a vocoder has none",
    }
    for flags, sentence in sentences.items():
        done = run_sh(RECIPE, "--dry-run", "true", *flags)
        assert done.returncode == 2 and sentence in done.stdout, done.stdout


@pipeline_in("portable")
def test_run_sh(tmp_path, capsys):
    clips(1)  # makes sure that the corpus is there
    own = tmp_path / "download" / "asterisk"  # unpacked anew, as stage 0 is one of those that have to run
    own.mkdir(parents=True)
    (own / "packages").symlink_to(ASTERISK / "download" / "asterisk" / "packages")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, ["--subset", 12])
    assert result["sets"]["test"]["stoi"]["value"] is not None
    heard = next((tmp_path / "exp" / "resynthesis").glob("audio-test-*/*.flac"))
    arguments = ["--exp-dir", tmp_path / "exp", "--out", tmp_path, "--speaker", "asterisk-fr", heard]
    resynthesis_command.main("resynthesise", [*map(str, arguments)])
    assert capsys.readouterr().out.strip() == str(tmp_path / heard.name)
