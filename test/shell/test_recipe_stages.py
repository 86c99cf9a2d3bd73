"""The stages that recipes share: what counts as a change, what becomes of what was made before, and what ends a run."""

import json
import re
import subprocess

import pytest
from stage_scripts import FEATURE_TYPE, RECIPE, ToyRecipe

ALL = ["prepare", "fit_tokenizer", *["extract_codes"] * 3, "check_cuts", "train_bpe", "train", "decode", "score"]


@pytest.fixture
def toy(tmp_path):
    return ToyRecipe(tmp_path)


def ran(toy, *arguments, **variables):
    done = toy.run(*arguments, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return toy.calls()


def reversed_keys(value):
    return {key: reversed_keys(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


def set_aside(folder):
    return sorted(path for path in folder.parent.glob(f"{folder.name}.before-*"))


def test_a_second_run_has_nothing_to_do(toy):
    assert ran(toy) == [*ALL, "make_results"]
    done = toy.run()
    assert done.returncode == 0 and "Nothing to do" in done.stdout and toy.calls() == []


@pytest.mark.parametrize("name", ["feature_type", "recipe", "scoring"])
def test_another_way_to_write_the_same_settings_is_no_change(toy, name):
    ran(toy)
    path = getattr(toy, name)
    value = json.loads(path.read_text())
    path.write_text(json.dumps(reversed_keys(value), indent=3) + "\n\n")
    assert ran(toy) == []
    path.write_text(json.dumps(value).replace("80", "80.0").replace(": 2}", ": 2.0}"))
    assert ran(toy) == []


def test_what_was_made_with_other_settings_is_kept_beside(toy):
    ran(toy)
    features = toy.here / "data" / "features" / "toy"
    toy.feature_type.write_text(json.dumps({**FEATURE_TYPE, "num_mel_bins": 40}))
    done = toy.run("--stop-stage", 4)
    assert done.returncode == 0 and toy.calls() == ALL[1:6]
    (aside,) = set_aside(features)
    assert (aside / "fitted.txt").read_text() == "fit_tokenizer\n" == (features / "fitted.txt").read_text()
    assert (aside / "train.codes").exists() and str(aside.name) in done.stdout and "put it back" in done.stdout
    toy.feature_type.write_text(json.dumps(FEATURE_TYPE))
    features.rename(features.with_name("other"))
    aside.rename(features)
    assert ran(toy) == [], "what was moved back does not count as done"


def test_codes_and_pieces_of_other_settings_are_kept_beside(toy):
    ran(toy)
    data = toy.here / "data"
    features, lang = data / "features" / "toy", data / "lang_bpe_30_language_token_by_language"
    toy.recipe.write_text(json.dumps({**RECIPE, "bpe": {**RECIPE["bpe"], "piece_type": "unigram"}}))
    assert ran(toy, "--speed-factors", "1.0", "--stop-stage", 5) == ALL[2:7]
    (codes,), (pieces,) = set_aside(features), set_aside(lang)
    assert (codes / "test.codes").exists() and (codes / ".done-3").exists() and not (codes / "fitted.txt").exists()
    assert (pieces / "bpe.model").exists() and (lang / "bpe.model").exists()


def test_nothing_is_set_aside_where_nothing_was_made(toy):
    assert toy.run(FAIL="fit_tokenizer").returncode != 0
    toy.feature_type.write_text(json.dumps({**FEATURE_TYPE, "num_mel_bins": 40}))
    ran(toy)
    assert set_aside(toy.here / "data" / "features" / "toy") == []


def as_before(toy):
    """Markers as they were when digests were of bytes: no first line, and `cksum`'s two numbers for each digest."""
    stages = (toy.here.parents[2] / "tools" / "stages.sh").read_text()
    assert "lines of settings follow" in stages
    sums = {
        path.name: subprocess.run(["cksum"], stdin=path.open(), capture_output=True, text=True).stdout.strip()
        for path in (toy.feature_type, toy.scoring)
    }
    recipe = subprocess.run(["cksum"], input=f"{RECIPE}\n", capture_output=True, text=True).stdout.strip()
    text = {key: value for key, value in RECIPE["bpe"].items() if key != "vocab_size"}
    words = {**sums, "recipe_digest": recipe, "further_text_settings": str(text)}
    for marker in toy.here.rglob(".done-*"):
        _, *lines = marker.read_text().splitlines()
        pairs = [line.partition("=") for line in lines]
        marker.write_text("".join(f"{name}{sign}{words.get(name, value)}\n" for name, sign, value in pairs))


def test_markers_of_before_are_taken_and_put_into_todays_words(toy):
    ran(toy)
    texts = {marker: marker.read_text() for marker in toy.here.rglob(".done-*")}
    as_before(toy)
    assert all(marker.read_text() != text for marker, text in texts.items())
    done = toy.run()
    assert toy.calls() == [], done.stdout
    assert {marker: marker.read_text() for marker in toy.here.rglob(".done-*")} == texts


def test_markers_of_before_still_tell_a_change(toy):
    ran(toy)
    as_before(toy)
    done = toy.run("--seed", 7, "--stop-stage", 2)
    assert toy.calls() == ["fit_tokenizer"]
    assert re.findall(r"^    (.*)$", done.stdout, flags=re.MULTILINE) == ["was seed=42", "is  seed=7"]


@pytest.mark.parametrize("name", ["50%/my 'own' \"data\"", "100%s données-語料 a$HOME`b`*?[x]&;\\n"])
def test_any_data_folder_works(toy, name):
    arguments = ["--data-dir", toy.here / name, "--exp-dir", toy.here / name / "exp"]
    assert ran(toy, *arguments) == [*ALL, "make_results"]
    assert ran(toy, *arguments) == []
    assert (toy.here / name / "features" / "toy" / "test.codes").exists()


def test_a_path_of_two_lines_is_refused(toy):
    done = toy.run("--data-dir", toy.here / "a\nb")
    assert done.returncode == 2 and "--data-dir must be one line" in done.stderr and toy.calls() == []


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--stage", "5", "--stop-stage", "3"], "--stop-stage 3 comes before --stage 5"),
        (["--stage", "9"], "--stage is 9, expected one of the stages 0 to 8"),
        (["--stage", "-1"], "--stage is -1, expected one of the stages 0 to 8"),
    ],
)
def test_no_stage_to_run_is_a_mistake(toy, arguments, sentence):
    done = toy.run(*arguments)
    assert done.returncode == 2 and sentence in done.stderr and done.stdout == "" and toy.calls() == []


@pytest.mark.parametrize("option", ["data-dir", "exp-dir"])
@pytest.mark.parametrize("below", ["", "/below/it"])
def test_a_file_in_place_of_a_folder_is_told_before_anything_runs(toy, option, below):
    (toy.here / "taken").write_text("")
    done = toy.run(f"--{option}", f"{toy.here}/taken{below}")
    assert done.returncode == 2 and f"--{option} {toy.here}/taken{below} cannot be a folder" in done.stderr
    assert done.stdout == "" and toy.calls() == []


@pytest.mark.parametrize("option", ["data-dir", "exp-dir"])
def test_a_folder_that_cannot_be_made_is_told_before_anything_runs(toy, option):
    done = toy.run(f"--{option}", "/proc/no/such")
    assert done.returncode == 2 and f"--{option} /proc/no/such does not exist and cannot be made" in done.stderr
    assert done.stdout == "" and toy.calls() == []


@pytest.mark.parametrize("name", ["prepare", "extract_codes", "train", "score"])
def test_a_stage_that_fails_ends_the_run(toy, name):
    done = toy.run(FAIL=name)
    assert done.returncode != 0 and toy.calls()[-1] == name and "Done" not in done.stdout
    assert toy.run().returncode == 0 and toy.calls()[0] == name


@pytest.mark.parametrize("name", ["feature_type", "recipe", "scoring"])
def test_a_settings_file_that_cannot_be_read_ends_the_run_and_moves_nothing(toy, name):
    ran(toy)
    getattr(toy, name).write_text("{")
    done = toy.run()
    assert done.returncode != 0 and getattr(toy, name).name in done.stderr and "Traceback" not in done.stderr
    assert toy.calls() == [] and list(toy.here.rglob("*.before-*")) == []


def test_a_part_that_is_missing_ends_the_run_and_moves_nothing(toy):
    part = toy.feature_type.with_name("part.json")
    part.write_text(json.dumps(FEATURE_TYPE))
    toy.feature_type.write_text(json.dumps({"tokenizer": "unit_bpe", "base": "part"}))
    ran(toy)
    part.unlink()
    done = toy.run()
    assert done.returncode != 0 and "is made of feature type 'part'" in done.stderr
    assert toy.calls() == [] and list(toy.here.rglob("*.before-*")) == []
