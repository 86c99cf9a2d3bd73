"""egs/asterisk/LM: choices only, on the corpus and the codes of the recogniser's recipe."""

from types import SimpleNamespace

import numpy as np
from recipe_checks import pipeline_in, recipe_folder, run_recipe, run_sh, small_kmeans
from stand_in import ASTERISK, clips

from icefall_discrete import CONF_DIR
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.inference import continue_command
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.unit_lm.network import build_unit_lm

RECIPE = "asterisk/LM"


def test_it_plans_the_corpus_and_the_codes_of_the_other_recipe(tmp_path):
    assert list(recipe_folder(RECIPE).rglob("*.py")) == []
    given = ("--dry-run", "true", "--subset", 9, "--data-dir", tmp_path / "data", "--decode.chunk-sec", 0.3)
    done = run_sh(RECIPE, *given, "--train.pattern", "flat")
    assert done.returncode == 0, done.stdout
    assert f"{ASTERISK}/local/prepare.py" in done.stdout and f"{tmp_path}/data/features/whisper_base" in done.stdout
    assert "--facts ," in done.stdout, "no transcript is needed"
    assert "--chunk-sec 0.3" in done.stdout and "--pattern flat" in done.stdout
    assert "--decoding-method told" in done.stdout and "train_bpe" not in done.stdout
    mistaken = run_sh(RECIPE, "--dry-run", "true", "--lm", "ngram")
    assert mistaken.returncode == 2 and "--lm is about text, and a language model of" in mistaken.stdout


def test_a_model_of_text_and_speech_is_a_recipe_too(tmp_path):
    done = run_sh(RECIPE, "--dry-run", "true", "--recipe", "speech_lm_turns", "--data-dir", tmp_path / "data")
    assert done.returncode == 0, done.stdout
    assert "--facts text" in done.stdout and "--decoding-method answers" in done.stdout
    for name in ("speech_lm", "speech_lm_turns"):
        settings = read_settings(CONF_DIR / "recipes" / f"{name}.json", None, [CONF_DIR], SimpleNamespace())
        assert [one.name for one in settings.task.read(Vocabulary((1000,)))] == ["asr", "tts", "continue"]


def test_speechgpts_stages_are_recipes_too():
    folder = recipe_folder(RECIPE) / "conf"
    asked = {"adaptation": ["continue"], "instruction": ["asr", "tts", "continue"], "modality_chain": ["asr", "chain"]}
    for name, tasks in asked.items():
        settings = read_settings(folder / "recipes" / f"{name}.json", None, [folder], SimpleNamespace())
        layouts = settings.task.read(Vocabulary((500,)))
        assert [one.name for one in layouts] == tasks and settings.model.decoder.dim == 192
    assert settings.model.adaptation.lora_r == 8 and layouts[1].speaks


def test_what_cannot_be_asked_for_texts_ends_with_its_training(tmp_path):
    given = (
        "--dry-run",
        "true",
        "--recipe",
        "adaptation",
        "--data-dir",
        tmp_path / "data",
        "--exp-dir",
        tmp_path / "e",
    )
    done = run_sh(RECIPE, *given)
    assert done.returncode == 0, done.stdout
    assert "no layout of recipe adaptation is of task asr: stages 7 and 8 are left out" in done.stdout
    assert "Stage 6" in done.stdout and "decode.py" not in done.stdout
    later = run_sh(RECIPE, *given, "--stage", 7)
    assert later.returncode == 2 and "there is nothing behind stage 6" in later.stdout
    assert "decode.py" in run_sh(RECIPE, *given, "--asked-task", "continue").stdout, "a flag decides"


def test_a_perceptual_model_is_a_recipe_too(tmp_path):
    codec = ASTERISK / "conf" / "features" / "asterisk_codec.json"
    given = ("--recipe", "perceptual", "--feature-type", codec, "--data-dir", tmp_path / "data", "--prompt-sec", 1)
    done = run_sh(RECIPE, "--dry-run", "true", *given, "--filling", "flow_matching")
    assert done.returncode == 0, done.stdout
    assert "sound_codes.py" in done.stdout and "--decoding-method perceptual" in done.stdout
    assert "--filling flow_matching" in done.stdout and "--prompt-sec 1" in done.stdout


def test_its_recipe_builds_what_it_says():
    folder = recipe_folder(RECIPE)
    settings = read_settings(folder / "conf" / "recipes" / "default.json", None, [folder / "conf"], SimpleNamespace())
    network = build_unit_lm(settings.model, FeatureSpec("two", "codes", 16000, 50.0, 2, (1000, 1000), 0))
    assert 1.6e6 < sum(value.numel() for value in network.parameters()) < 2.2e6


@pipeline_in("k2")
def test_run_sh(tmp_path):
    clips(1)  # makes sure that the corpus is there
    own = tmp_path / "download" / "asterisk"  # unpacked anew, as stage 0 is one of those that have to run
    own.mkdir(parents=True)
    (own / "packages").symlink_to(ASTERISK / "download" / "asterisk" / "packages")
    result = run_recipe(RECIPE, str(small_kmeans(tmp_path)), tmp_path, ["--subset", 12])
    assert result["sets"]["test"]["num_utterances"] == 12
    np.save(tmp_path / "begun.npy", np.array([[1], [2], [3]]))
    said = tmp_path / "said"
    arguments = ("--exp-dir", tmp_path / "exp", "--out", said, "--max-sec", 0.1, tmp_path / "begun.npy")
    continue_command.main("continue", [*map(str, arguments)])
    (codes,) = said.glob("*.npy")
    assert np.load(codes)[:3].tolist() == [[1], [2], [3]]
