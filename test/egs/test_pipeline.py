"""The short pipeline: the real run.sh on a few dozen real utterances, all stages; and what a kill does to it.

It needs the network (once, for the corpus) and some minutes, so it runs only where ICEFALL_DISCRETE_PIPELINE=1 is set,
as .ci/run does. The tests share one prepared corpus and never touch the recipe's own data, exp or results.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from recipe_checks import SHORT_ENCODER, SHORT_RECOGNISER, pipeline_in, short_recipe
from warm_python import warm_variables

from icefall_discrete.experiment.recipe_files import read_recipe

pytestmark = pytest.mark.skipif(
    os.environ.get("ICEFALL_DISCRETE_PIPELINE") != "1", reason="set ICEFALL_DISCRETE_PIPELINE=1 to run it (minutes)"
)
EGS = Path(__file__).resolve().parents[2] / "egs"
RECIPE, SEVEN = EGS / "asterisk" / "ASR", EGS / "seven" / "ASR"
ENVIRONMENT = Path(sys.prefix).name if Path(sys.prefix).name in ("k2", "portable") else "auto"
LANGUAGES = ("en", "es", "fr", "it", "ru")
SUBSET = 24
TIMEOUT_SEC = 900


def command(*arguments, folder=RECIPE):
    return ["bash", str(folder / "run.sh"), "--env", ENVIRONMENT, *map(str, arguments)]


def run_sh(*arguments, folder=RECIPE, is_warm=True):
    """Run run.sh to its end; return what it printed. Its stages begin warm, unless they are to begin by themselves."""
    line, env = command(*arguments, folder=folder), {**os.environ, **(warm_variables() if is_warm else {})}
    done = subprocess.run(
        line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_SEC
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def kill_when(ready, *arguments):
    """Start run.sh, and SIGKILL all its processes as soon as `ready()` is true."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + TIMEOUT_SEC
    while not ready():
        assert process.poll() is None, "run.sh ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def snapshot(*folders):
    """Modification time of every file below some folders."""
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in files}


def short_of_default(folder, name, small_model):
    """The default recipe, cut down to two epochs of a few steps, with checkpoints within the epoch; its path."""
    settings = read_recipe(RECIPE / "conf" / "recipes" / "default.json")
    settings["train"].update(num_epochs=2, average_period=1, save_every_n=2, max_minutes=0.0)
    settings["loader"].update(max_duration=15.0, curriculum_max_duration=15.0, num_buckets=2)
    settings["bpe"]["vocab_size"] = 60
    settings["average"] = {"avg": 1, "use_averaged_model": True}
    if small_model:
        settings["model"].update({**SHORT_ENCODER, **SHORT_RECOGNISER["model"]})
        settings["loss"] = {**settings.get("loss", {}), **SHORT_RECOGNISER["loss"]}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(settings))
    return path


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """Short recipes by name: `default_model`, and `small_model` where the test is of something else than the model."""
    folder = tmp_path_factory.mktemp("recipe")
    return {name: short_of_default(folder, name, name == "small_model") for name in ("default_model", "small_model")}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A data folder with the manifests of a small subset."""
    data_dir = tmp_path_factory.mktemp("corpus") / "data"
    run_sh("--stop-stage", 1, "--subset", SUBSET, "--data-dir", data_dir)
    return data_dir


@pytest.fixture
def copied_corpus(corpus, tmp_path):
    """The prepared corpus for a test that writes into the data folder; the audio stays where it is."""
    shutil.copytree(corpus / "manifests", tmp_path / "data" / "manifests")
    return tmp_path / "data"


@pytest.mark.parametrize(
    "feature_type, precision",
    [("whisper_tiny_km500", None), ("mfcc_km500", "fp32" if torch.__version__.startswith("1.") else "bf16")],
)
def test_all_stages_then_nothing_to_do(feature_type, precision, copied_corpus, recipes, tmp_path):
    exp_dir = tmp_path / "exp"
    of_full_size = not precision and ENVIRONMENT != "portable"  # once
    recipe = recipes["default_model" if of_full_size else "small_model"]
    flags = ["--feature-type", feature_type, "--recipe", recipe, "--subset", SUBSET]
    flags += ["--precision", precision] if precision else []
    flags += ["--data-dir", copied_corpus, "--exp-dir", exp_dir]
    printed = run_sh(*flags, is_warm=bool(precision))
    for number in range(2, 9):
        assert f"Stage {number}: done in" in printed
    assert all(f"{language} " in printed for language in LANGUAGES)
    scored = json.loads((exp_dir / "result.json").read_text())["sets"]["test"]
    assert scored["num_utterances"] == SUBSET
    assert 0 < scored["cer"]["rate"] <= 200 and scored["cer"]["num_ref"] > 200
    assert list((exp_dir / "modified_beam_search").glob("recogs-test-*.txt"))
    tables = (exp_dir / "RESULTS.md").read_text()
    assert feature_type in tables
    if precision:  # a row of its own, trained as asked for
        assert f"## Recipe `small_model_{precision}`" in tables and f"--precision {precision}" in tables
        assert json.loads((exp_dir / "config.json").read_text())["train"]["precision"] == precision

    before = snapshot(copied_corpus, exp_dir)
    again = run_sh(*flags)
    assert "Nothing to do" in again and "done in" not in again
    assert snapshot(copied_corpus, exp_dir) == before
    assert all(f"{language} " in again for language in LANGUAGES)


@pipeline_in("k2")
def test_extraction_survives_a_kill(copied_corpus, corpus, recipes, tmp_path):
    name = "whisper_tiny_km500"
    flags = [
        "--recipe",
        recipes["small_model"],
        "--subset",
        SUBSET,
        "--stop-stage",
        3,
        "--exp-dir",
        tmp_path / "exp",
        "--nj",
        1,
    ]
    flags += ["--feature-type", name]
    whole, killed = copied_corpus, tmp_path / "killed"
    run_sh(*flags, "--data-dir", whole)
    features = Path("features") / name
    shutil.copytree(corpus / "manifests", killed / "manifests")
    archive, manifest = killed / features / "train.codes", killed / features / "train.jsonl.gz"
    kill_when(lambda: archive.exists() and archive.stat().st_size > 0, *flags, "--data-dir", killed)
    assert not manifest.exists()
    assert 0 < archive.stat().st_size < (whole / features / "train.codes").stat().st_size

    run_sh(*flags, "--data-dir", killed)
    for made in ("kmeans.safetensors", *(f"{split}.codes" for split in ("train", "dev", "test"))):
        assert (killed / features / made).read_bytes() == (whole / features / made).read_bytes(), made


def weights(exp_dir):
    return torch.load(exp_dir / "epoch-2.pt", map_location="cpu")


def assert_same(a, b, where="epoch-2.pt"):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}: {key}")


@pipeline_in("k2")  # without run.sh in both: test/local/test_train.py
def test_training_survives_kills_within_and_between_epochs(copied_corpus, recipes, tmp_path):
    flags = ["--recipe", recipes["small_model"], "--subset", SUBSET, "--stop-stage", 6, "--data-dir", copied_corpus]
    flags += ["--feature-type", "mfcc_km500"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_sh(*flags, "--exp-dir", whole)
    kill_when(lambda: any(killed.glob("checkpoint-*.pt")), *flags, "--exp-dir", killed)
    assert not (killed / "epoch-1.pt").exists()
    kill_when(lambda: (killed / "epoch-1.pt").exists(), *flags, "--exp-dir", killed)
    assert not (killed / "epoch-2.pt").exists()
    resumed = run_sh(*flags, "--exp-dir", killed)
    assert "Stage 5: BPE model of 60 pieces: already done" in resumed
    assert_same(weights(killed), weights(whole))


@pipeline_in("portable")
def test_seven_languages_of_two_corpora_on_a_kmeans_of_each(tmp_path):
    """Both corpora joined, codes by language, a language token: every language is trained, scored and identified."""
    feature_type = tmp_path / "mfcc_km50_by_language.json"
    feature_type.write_text(json.dumps({"tokenizer": "mfcc_kmeans_by_language", "num_clusters": 50}))
    recipe = short_recipe("seven", tmp_path, "lang_token")
    flags = ["--subset", 49, "--data-dir", tmp_path / "data", "--exp-dir", tmp_path / "exp", "--speed-factors", "1.0"]
    flags += ["--feature-type", feature_type, "--recipe", recipe, "--vocab-size", 120, "--num-epochs", 1, "--nj", 1]
    printed = run_sh(*flags, "--world-size", 1, folder=SEVEN)
    spec = json.loads((tmp_path / "data" / "features" / feature_type.stem / "spec.json").read_text())
    assert list(spec["provenance"]["first_ids"]) == ["cs", "en", "es", "fr", "it", "nl", "ru"]
    assert spec["codebook_sizes"] == [350]
    scored = json.loads((tmp_path / "exp" / "result.json").read_text())["sets"]["test"]
    assert scored["num_utterances"] == 49 and "LID %" in printed
    assert sorted(scored["languages"]) == ["cs", "en", "es", "fr", "it", "nl", "ru"]
    again = run_sh(*flags, "--world-size", 1, folder=SEVEN)
    assert "Nothing to do" in again and "done in" not in again
