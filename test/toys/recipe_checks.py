"""What the tests of all recipes share: a recipe's own Python as a module, and a run of all its stages in miniature.

`run_recipe` takes half a minute, so its tests carry `pipeline_in`: they run where ICEFALL_DISCRETE_PIPELINE=1 is set,
as in .ci/run, each recipe in one of the two environments, with features or codes (`feature_type_of_environment`).
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Sequence

import pytest
from lhotse import CutSet
from stand_in import ENVIRONMENT, IS_PIPELINE, ROOT
from warm_python import warm_variables

from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.experiment.recipe_files import read_recipe


def pipeline_in(environment: str) -> pytest.MarkDecorator:
    """A test of minutes, asked for by a variable, in one environment: recipes differ in stage 1, so they take turns."""
    is_its_turn = IS_PIPELINE and environment == ENVIRONMENT
    return pytest.mark.skipif(not is_its_turn, reason=f"runs with ICEFALL_DISCRETE_PIPELINE=1 in {environment}")


TIMEOUT_SEC = 1800
_WITHOUT_TEXT = (0, 1, 2, 3, 4, 6, 7, 8)
STAGES = {"asr": range(9), **dict.fromkeys(("classification", "vocoder", "enhancement", "unit_lm"), _WITHOUT_TEXT)}
SHORT_ENCODER: Dict[str, Any] = {
    "downsampling_factor": [1, 2],
    "num_encoder_layers": [1, 1],
    "encoder_dim": [64, 96],
    "encoder_unmasked_dim": [64, 96],
    "feedforward_dim": [96, 128],
    "num_heads": [2],
    "query_head_dim": [16],
    "cnn_module_kernel": [7, 7],
}
# A model and a training of seconds, laid over a recipe's own.
SHORT: Dict[str, Dict[str, Any]] = {
    "model": SHORT_ENCODER,
    "loader": {"max_duration": 15.0, "num_buckets": 2, "num_workers": 0},
    "filter": {"min_utterance_sec": 0.3},
    "train": {
        "num_epochs": 2,
        "average_period": 1,
        "max_minutes": 0.0,
        "precision": "fp32",
        "accum_grad": 1,
        "try_largest_batches": False,
        "tensorboard": False,
    },
    "average": {"avg": 1, "use_averaged_model": True},
}
# The same for a classifier that has no encoder before it.
SHORT_ECAPA: Dict[str, Any] = {
    "embedding_dim": 16,
    "front_end": "identity",
    "encoder": {"kind": "identity", "in_dim": 16},
    "classifier": {
        "kind": "ecapa",
        "ecapa_channels": [8, 8, 8, 12],
        "ecapa_kernels": [3, 3, 3, 1],
        "ecapa_dilations": [1, 2, 3, 1],
        "res2net_scale": 2,
        "se_channels": 4,
        "attention_channels": 4,
        "ecapa_dim": 8,
    },
}
# The same for a vocoder, which has no encoder either.
SHORT_VOCODER: Dict[str, Any] = {
    "embedding_dim": 16,
    "generator": {"kind": "vocos", "vocos_dim": 16, "vocos_hidden_dim": 24, "vocos_num_layers": 1},
    "voice_dim": 4,
}
# The same for enhancement.
SHORT_ENHANCER: Dict[str, Any] = {
    "embedding_dim": 16,
    "front_end": "identity",
    "encoder": {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 16},
}
# The same for a language model of units.
SHORT_DECODER: Dict[str, Any] = {
    "decoder": {"dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 24},
}
# The same for text to speech.
SHORT_SPEAKER: Dict[str, Any] = {
    "text_encoder": {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 16},
    "unit_encoder": {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 16},
    "duration_dim": 8,
}
SHORT_OTHERS = {
    "vocoder": SHORT_VOCODER,
    "enhancement": SHORT_ENHANCER,
    "unit_lm": SHORT_DECODER,
    "tts": SHORT_SPEAKER,
}
# What a recogniser has besides, and nothing else.
SHORT_RECOGNISER: Dict[str, Dict[str, Any]] = {
    "model": {"decoder_dim": 64, "joiner_dim": 64, "inner_ctc_stacks": []},
    "loss": {"inner_ctc_loss_scale": 0.0},
}
VOCAB_SIZE = 40


def recipe_folder(recipe: str) -> Path:
    """The folder of a recipe, egs/<recipe>/ASR, or of another task, "<corpus>/<TASK>"."""
    return ROOT / "egs" / (recipe if "/" in recipe else f"{recipe}/ASR")


def load_local(recipe: str, name: str) -> ModuleType:
    """local/<name>.py of a recipe as a module; files of the same name in other recipes do not get in its way."""
    folder = recipe_folder(recipe) / "local"
    siblings = {path.stem for path in folder.glob("*.py")}
    hidden = {key: sys.modules.pop(key) for key in siblings if key in sys.modules}
    spec = importlib.util.spec_from_file_location(
        f"{recipe.replace('/', '_')}_{name}_{uuid.uuid4().hex[:6]}", folder / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a module up by its name
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        for key in siblings:
            sys.modules.pop(key, None)
        sys.modules.update(hidden)
    return module


def prepared_cuts(
    corpus: str,
    prepare: ModuleType,
    corpus_dir: Path,
    data_dir: Path,
    splits: Sequence[str] = ("train", "dev", "test"),
    **changes: Any,
) -> Dict[str, CutSet]:
    """Run a recipe's local/prepare.py with `changes` of its settings; return the cuts of each split."""
    prepare.prepare(prepare.PrepareConfig(corpus_dir=str(corpus_dir), data_dir=str(data_dir), nj=1, **changes))
    return {split: load_cuts(data_dir / "manifests" / f"{corpus}_cuts_{split}.jsonl.gz") for split in splits}


def recipe_file(recipe: str, name: str) -> Path:
    """conf/recipes/<name>.json of a recipe, or else the one that all recipes share."""
    own = recipe_folder(recipe) / "conf" / "recipes" / f"{name}.json"
    return own if own.is_file() else ROOT / "icefall_discrete" / "conf" / "recipes" / f"{name}.json"


def short_recipe(recipe: str, folder: Path, name: str = "default") -> Path:
    """A recipe file of two epochs of a few steps, with the other settings of the recipe's `name`; returns its path."""
    settings = read_recipe(recipe_file(recipe, name))
    settings["model_size"] = "tiny"
    for short in (SHORT, *([] if "system" in settings else [SHORT_RECOGNISER])):
        for section, values in short.items():
            if section == "model" and settings.get("system") in SHORT_OTHERS:
                settings[section] = SHORT_OTHERS[settings["system"]]
                continue
            if section == "model" and "identity" in str(settings["model"].get("encoder")):
                settings[section] = SHORT_ECAPA  # in its place: one file has no layers that a kind could leave out
                continue
            settings[section] = {**settings.get(section, {}), **values}
    if settings.get("bpe", {"piece_type": "char"}).get("piece_type") != "char":
        settings["bpe"]["vocab_size"] = VOCAB_SIZE
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "short.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def small_kmeans(folder: Path) -> Path:
    """A feature type of a few clusters, `mfcc_km16`; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mfcc_km16.json"
    values = {"tokenizer": "mfcc_kmeans", "num_clusters": 16, "num_ceps": 13, "frame_shift_sec": 0.02}
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def feature_type_of_environment(folder: Path) -> str:
    """Continuous features in the k2 environment and k-means codes in the portable one: both, at the price of one."""
    return "fbank" if ENVIRONMENT == "k2" else str(small_kmeans(folder))


def run_sh(recipe: str, *flags: object) -> subprocess.CompletedProcess:
    """Run a recipe's run.sh to its end; standard error is in `stdout` with the rest.

    In the short pipeline its stages begin warm: that they begin by themselves is proved by test/egs/test_pipeline.py.
    """
    command = ["bash", str(recipe_folder(recipe) / "run.sh"), "--env", ENVIRONMENT, *map(str, flags)]
    return subprocess.run(
        command,
        env={**os.environ, **(warm_variables() if IS_PIPELINE else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SEC,
        check=False,
    )


def folder_flags(folder: Path) -> Sequence[object]:
    """Flags that put everything of a run below `folder`; the stand-in corpus belongs into its download/."""
    return ("--dl-dir", folder / "download", "--data-dir", folder / "data", "--exp-dir", folder / "exp",
            "--results-dir", folder / "results")  # fmt: skip


def check_errors(exp_dir: Path, split: str, scored: Dict[str, Any]) -> None:
    """Error rates that a recogniser may have after some steps of training, and transcripts."""
    assert scored["cer"]["num_ref"] > scored["num_utterances"], split
    for rate in (scored["wer"], scored["cer"]):  # may be far above 100
        assert rate["errors"] > 0 and abs(rate["rate"] - 100.0 * rate["errors"] / rate["num_ref"]) < 0.01, split
    assert list(exp_dir.glob(f"*/recogs-{split}-*.txt")), split


def check_accuracy(exp_dir: Path, split: str, scored: Dict[str, Any]) -> None:
    """An accuracy over all utterances, and what each was taken for."""
    assert scored["accuracy"]["num"] == scored["num_utterances"], split
    assert sum(sum(row.values()) for row in scored["confusions"].values()) == scored["num_utterances"], split
    assert list(exp_dir.glob(f"*/predictions-{split}-*.tsv")), split


def check_trials(exp_dir: Path, split: str, scored: Dict[str, Any]) -> None:
    """An equal error rate of all trials, and a score for each."""
    assert 0 <= scored["eer"]["rate"] <= 100 and 0 < scored["num_target_trials"] < scored["num_trials"], split
    (scores,) = exp_dir.glob(f"verification/scores-{split}-*.tsv")
    assert scores.read_text(encoding="utf-8").count("\n") == scored["num_trials"], split


def check_audio(folder: Path, split: str, num_utterances: int) -> None:
    """A file of audio for each utterance, and its players on the page that has the recordings beside itself."""
    (said,) = (path for path in folder.glob(f"audio-{split}-*") if path.is_dir() and path.suffix != ".audio")
    (page,) = folder.glob(f"audio-{split}-*.html")
    assert len(list(said.glob("*.flac"))) == num_utterances, split
    assert page.read_text(encoding="utf-8").count("<article>") == num_utterances, split


def check_speech(exp_dir: Path, split: str, scored: Dict[str, Any]) -> None:
    """Distances that a vocoder may have after some steps, and a file of audio for each utterance."""
    assert scored["mel_distance"]["value"] > 0 and scored["num_not_measured"] == 0, split
    check_audio(exp_dir / "resynthesis", split, scored["num_utterances"])


def check_enhanced(exp_dir: Path, split: str, scored: Dict[str, Any]) -> None:
    """Distances of output and input, and a file of audio for each utterance."""
    assert scored["mel_distance"]["value"] > 0 < scored["mel_distance_input"]["value"], split
    check_audio(exp_dir / "enhancement", split, scored["num_utterances"])


def check_bits(exp_dir: Path, split: str, scored: Dict[str, Any]) -> None:
    """Bits a second of the model and of n-grams, and what each utterance cost."""
    assert scored["unit_bits"]["value"] > 0 and scored["unit_perplexity"]["value"] > 1, split
    (told,) = exp_dir.glob(f"told/told-{split}-*.tsv")
    assert told.read_text(encoding="utf-8").count("\n") == scored["num_utterances"], split


CHECKS = {
    "asr": check_errors,
    "classification": check_accuracy,
    "SV": check_trials,
    "vocoder": check_speech,
    "enhancement": check_enhanced,
    "unit_lm": check_bits,
}


def run_recipe(recipe: str, feature_type: str, folder: Path, flags: Sequence[object] = ()) -> Dict[str, Any]:
    """Run all stages of a recipe on the stand-in below `folder`/download, twice; check what they leave.

    Args:
      feature_type: a name or a path to a file. folder: for everything that is made. flags: further flags of run.sh.
    Returns:
      result.json.
    """
    every = [*folder_flags(folder), "--feature-type", feature_type, "--recipe", short_recipe(recipe, folder)]
    every += ["--nj", 1, "--speed-factors", "1.0", *flags]
    system, task = read_recipe(recipe_file(recipe, "default")).get("system", "asr"), recipe.rpartition("/")[2]
    done = run_sh(recipe, *every)
    assert done.returncode == 0, done.stdout[-6000:]
    for number in STAGES[system]:
        assert f"Stage {number}: done in" in done.stdout, f"stage {number} was not run:\n{done.stdout[-3000:]}"

    assert not (folder / "exp" / "bad-batches.jsonl").exists(), (folder / "exp" / "bad-batches.jsonl").read_text()

    result = json.loads((folder / "exp" / "result.json").read_text(encoding="utf-8"))
    name = Path(feature_type).stem
    assert (result["feature_type"], result["recipe"].partition("_")[0]) == (name, "short")  # then the variant, if any
    for split, scored in result["sets"].items():
        assert scored["num_utterances"] > 0, split
        CHECKS[task if task in CHECKS else system](folder / "exp", split, scored)
    page_of = folder / "exp" if "--subset" in flags else folder  # a part of a corpus stands in no table of the recipe
    page = (page_of / "RESULTS.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| {name} \|", page, flags=re.MULTILINE)

    again = run_sh(recipe, *every)
    assert again.returncode == 0, again.stdout[-3000:]
    assert "Nothing to do" in again.stdout and "done in" not in again.stdout
    return result
