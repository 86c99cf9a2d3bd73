"""The tokenizer travels from extraction through training to transcription, and another one is refused."""

import dataclasses
import json
import shutil

import pytest
from toy_corpus import ToyConfig, make_tokenizer

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.experiment.transcription_files import (
    keep_for_transcription,
    load_experiment_tokenizer,
    load_recipe,
    save_tokenizer,
)
from icefall_discrete.tokenizers import load_tokenizer


@pytest.fixture
def exp_dir(work, tmp_path):
    shutil.copytree(work / "exp", tmp_path / "exp")
    return tmp_path / "exp"


def spec_of(exp_dir):
    return FeatureSpec.read(exp_dir / "spec.json")


def test_experiment_holds_the_tokenizer_that_made_its_codes(work, exp_dir):
    names = {path.name for path in (exp_dir / "tokenizer").iterdir()}
    assert names == {"small_km.json", "kmeans.safetensors"}
    here = load_experiment_tokenizer(exp_dir, spec_of(exp_dir))
    there = load_tokenizer("small_km", [work / "conf"], work / "features")
    assert here.spec == there.spec and here.config == there.config
    assert (exp_dir / "tokenizer" / "kmeans.safetensors").read_bytes() == there.state_files[0].read_bytes()


def test_saving_and_keeping_again_changes_nothing(work, exp_dir):
    tokenizer = load_tokenizer("small_km", [work / "conf"], work / "features")
    files = [*(work / "features" / "tokenizer").iterdir(), *exp_dir.rglob("*.json"), *exp_dir.rglob("*.safetensors")]
    before = {path: path.stat().st_mtime_ns for path in files}
    save_tokenizer(tokenizer, work / "features")
    keep_for_transcription(exp_dir, work / "features", work / "recipe.json")
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_another_tokenizer_is_refused_with_the_difference(exp_dir):
    spec = spec_of(exp_dir)
    state = exp_dir / "tokenizer" / "kmeans.safetensors"
    whole = state.read_bytes()
    state.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # the last bit of one number
    with pytest.raises(ValueError, match=r"is not the one that .*exp was trained with \(provenance\.kmeans_sha256: '"):
        load_experiment_tokenizer(exp_dir, spec)
    state.write_bytes(whole)
    load_experiment_tokenizer(exp_dir, spec)
    with pytest.raises(
        ValueError, match=r"\(frame_rate_hz: 25\.0 in training, 50\.0 here\); give the right one with --"
    ):
        load_experiment_tokenizer(exp_dir, dataclasses.replace(spec, frame_rate_hz=25.0))


def test_what_is_missing_is_named(work, exp_dir):
    spec = spec_of(exp_dir)
    (exp_dir / "tokenizer" / "kmeans.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer holds no kmeans\.safetensors, .* with --tokenizer-dir"):
        load_experiment_tokenizer(exp_dir, spec)
    shutil.rmtree(exp_dir / "tokenizer")
    with pytest.raises(FileNotFoundError, match=r"tokenizer holds no small_km\.json, .* with --tokenizer-dir"):
        load_experiment_tokenizer(exp_dir, spec)
    assert load_experiment_tokenizer(exp_dir, spec, work / "features" / "tokenizer").spec == spec


def test_tokenizer_of_the_package_without_state_needs_no_folder(tmp_path):
    spec = load_tokenizer("dmel").spec
    assert load_experiment_tokenizer(tmp_path, spec).spec == spec


def test_codes_without_a_saved_tokenizer_are_a_warning_of_training(work, tmp_path, caplog):
    keep_for_transcription(tmp_path / "exp", tmp_path, work / "recipe.json")
    assert "transcribing audio files will need --tokenizer-dir" in caplog.text
    assert not (tmp_path / "exp" / "tokenizer").exists()


def test_paths_in_settings_are_made_absolute(tmp_path, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Config(ToyConfig):
        model: str = "models/small"
        other: str = "org/name"

    (tmp_path / "models" / "small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    save_tokenizer(make_tokenizer(Config()), tmp_path / "features")
    saved = json.loads((tmp_path / "features" / "tokenizer" / "toy.json").read_text())
    assert saved["model"] == str(tmp_path / "models" / "small") and saved["other"] == "org/name"
    assert saved["tokenizer"] == "toy_corpus" and saved["levels"] == 50


def test_recipe_is_the_given_or_the_kept_one_or_none(work, exp_dir, tmp_path):
    assert load_recipe(exp_dir, None)["average"] == {"avg": 1, "use_averaged_model": False}
    (tmp_path / "other.json").write_text('{"average": {"avg": 2}}')
    assert load_recipe(exp_dir, tmp_path / "other.json") == {"average": {"avg": 2}}
    (exp_dir / "recipe.json").unlink()
    assert load_recipe(exp_dir, None) == {}
