"""Scoring a set, gathering costs, the ledger's order and refusals, commands without machine paths."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest

from icefall_discrete.base import environment
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.results.ledger import (
    add_to_ledger,
    describe_features,
    describe_training,
    portable_command,
    read_ledger,
)
from icefall_discrete.results.page import compared, results_page
from icefall_discrete.systems.asr.scoring import score_transcripts, set_table

TRANSCRIPTS = [
    Transcript("en-1", ("press", "one"), ("press", "won")),
    Transcript("en-2", ("goodbye",), ()),
    Transcript("it-1", ("ciao", "a", "tutti"), ("ciao", "a", "tutti")),
]
LANGUAGES = {"en-1": "en", "en-2": "en", "it-1": "it"}


def result(feature_type="fbank", recipe="default", device="cpu", bits=256000.0):
    return {
        "feature_type": feature_type,
        "recipe": recipe,
        "device": device,
        "sets": {"test": score_transcripts(TRANSCRIPTS, LANGUAGES)},
        "features": {"bits_per_second": bits},
    }


def test_scores_by_hand():
    scored = score_transcripts(TRANSCRIPTS, LANGUAGES)
    assert (scored["num_utterances"], scored["num_empty"]) == (3, 1)
    assert scored["wer"]["rate"] == pytest.approx(100 * 2 / 6, abs=1e-3)
    # Characters: pressone -> presswon inserts w and deletes e (of 8); goodbye is deleted (7); ciaoatutti is right (10).
    assert scored["cer"]["rate"] == pytest.approx(100 * (2 + 7) / 25, abs=1e-3)
    assert scored["languages"]["it"]["wer"]["rate"] == 0
    assert scored["languages"]["en"]["wer"]["deletions"] == 1
    assert scored["languages"]["en"]["num_utterances"] == 2
    low, high = scored["wer"]["interval"]
    assert low < scored["wer"]["rate"] < high


def test_languages_add_up_to_the_whole():
    scored = score_transcripts(TRANSCRIPTS, LANGUAGES)
    for name in ("wer", "cer"):
        for kind in ("num_ref", "insertions", "deletions", "substitutions"):
            assert sum(part[name][kind] for part in scored["languages"].values()) == scored[name][kind]


def test_no_transcript_is_an_error():
    with pytest.raises(ValueError, match="decode first"):
        score_transcripts([], {})


def test_printed_table_has_a_row_for_each_language_and_all():
    lines = set_table("test", score_transcripts(TRANSCRIPTS, LANGUAGES)).splitlines()
    assert [line.split()[0] for line in lines] == ["test", "----", "en", "it", "all"]
    assert lines[-1].split()[1:4] == ["3", "6", "33.33"]


def test_feature_costs_are_sums_over_splits_and_absent_ones_are_null(tmp_path):
    spec = FeatureSpec("mfcc_km500", "codes", 16000, 50.0, 1, (500,), 0)
    assert describe_features(tmp_path, spec)["extraction_rtf"] is None
    (tmp_path / "extract-train.json").write_text(json.dumps({"audio_sec": 3000, "wall_sec": 30, "bytes": 300000}))
    (tmp_path / "extract-test.json").write_text(json.dumps({"audio_sec": 600, "wall_sec": 42, "bytes": 60000}))
    described = describe_features(tmp_path, spec)
    assert described["extraction_rtf"] == pytest.approx(72 / 3600)
    assert described["bytes_per_hour"] == pytest.approx(360000)
    assert described["bits_per_second"] == pytest.approx(448.3, abs=0.1)
    (tmp_path / "extract-test-white-snr5.json").write_text(json.dumps({"audio_sec": 600, "wall_sec": 900, "bytes": 9}))
    (tmp_path / "report.json").write_text(json.dumps({"splits": ["train", "test"]}))
    assert describe_features(tmp_path, spec)["extraction_rtf"] == pytest.approx(72 / 3600)


def test_training_costs_come_from_the_trainers_summary(tmp_path):
    assert set(describe_training(tmp_path).values()) == {None}
    epochs = [{"epoch": n, "audio_sec": 5000.0, "train_sec": sec} for n, sec in ((1, 50.0), (2, 150.0))]
    summary = {"num_epochs": 2, "train_sec": 240.0, "train_sec_per_epoch": 100.0, "num_params": 7, "epochs": epochs}
    (tmp_path / "train.json").write_text(json.dumps(summary))
    described = describe_training(tmp_path)
    assert (described["epochs"], described["minutes"], described["num_parameters"]) == (2, 4.0, 7)
    assert described["audio_sec_per_sec"] == 50.0 and described["audio_hours"] == pytest.approx(10000 / 3600)
    assert described["backend"] is None and described["core_minutes"] is None
    (tmp_path / "train.json").write_text(json.dumps({**summary, "cpu_sec": 210.0}))
    assert describe_training(tmp_path)["core_minutes"] == 3.5


def test_ledger_replaces_its_own_row_and_sorts_by_bit_rate(tmp_path):
    add_to_ledger(tmp_path, result("mfcc_km500", bits=448.0))
    add_to_ledger(tmp_path, result("fbank", recipe="full"))
    first = add_to_ledger(tmp_path, result("fbank", bits=1.0))
    assert add_to_ledger(tmp_path, result("fbank")) == first
    assert first.name == "fbank_default_cpu.json"
    rows = read_ledger(list(tmp_path.glob("*.json")))
    assert [(row["recipe"], row["feature_type"]) for row in rows] == [
        ("default", "fbank"),
        ("default", "mfcc_km500"),
        ("full", "fbank"),
    ]
    assert read_ledger(sorted(tmp_path.glob("*.json"), reverse=True)) == rows


def test_searches_of_a_model_stand_apart_from_its_row(tmp_path):
    add_to_ledger(tmp_path, result("mfcc_km500", bits=448.0))
    add_to_ledger(tmp_path, result("dmel", bits=12800.0))
    other = add_to_ledger(tmp_path, {**result("mfcc_km500", bits=448.0), "search": "1best"})
    assert other.name == "mfcc_km500_default_cpu__1best.json"
    rows = read_ledger(list(tmp_path.glob("*.json")))
    assert [(row["feature_type"], row.get("search")) for row in rows] == [
        ("dmel", None),
        ("mfcc_km500", None),
        ("mfcc_km500", "1best"),
    ]
    main, searches = results_page("T", rows, ["test"], ["dev"], None, []).split("### Searches of the same models")
    searches = searches.split("###")[0]
    assert main.count("| mfcc_km500 |") == 2 and "1best" not in main
    assert searches.count("| mfcc_km500 |") == 2 and "| 1best |" in searches and "dmel" not in searches
    asked = {
        **rows[2],
        "sets": {"test": {**rows[2]["sets"]["test"], "dwer": {"rate": 7.25}, "judges": {"pesq": "0.0.4"}}},
    }
    page = results_page("T", [*rows[:2], asked], ["test"], ["dev"], None, [])
    assert "test dWER %" in page.split("### Searches of the same models")[1] and ", judged by pesq 0.0.4; " in page


def test_recipes_that_compare_nothing_share_a_section(tmp_path):
    for name, recipe in [("fbank", "full"), ("dmel", "full"), ("fbank", "wide"), ("fbank", "narrow")]:
        add_to_ledger(tmp_path, result(name, recipe=recipe))
    rows = read_ledger(list(tmp_path.glob("*.json")))
    assert [{row["feature_type"] for row in group} for group in compared(rows)] == [{"fbank", "dmel"}]
    page = results_page("T", rows, ["test"], ["dev"], None, [])
    full, others = page.split("## Other recipes\n")
    assert "## Recipe `full` on cpu\n" in full and full.count("\n| fbank |") == 3 and "wide" not in full
    others, made = others.split("## How each row was made\n")
    assert others.count("\n| fbank | wide (cpu) |") == others.count("\n| fbank | narrow (cpu) |") == 3
    assert [f"* **fbank**, {name}: " in made for name in ("full", "wide", "narrow")] == [True] * 3
    only = results_page("T", [row for row in rows if row["recipe"] == "wide"], ["test"], ["dev"], None, [])
    assert "## Recipe `wide` on cpu\n" in only and "Other recipes" not in only


def test_foreign_and_double_files_are_refused(tmp_path):
    path = add_to_ledger(tmp_path, result())
    (tmp_path / "copy.json").write_text(path.read_text())
    with pytest.raises(ValueError, match="remove one"):
        read_ledger(sorted(tmp_path.glob("*.json")))
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"other\.json has no 'feature_type', .*; it is not a result"):
        read_ledger([tmp_path / "other.json"])


@pytest.mark.parametrize(
    "damage, sentence",
    [
        ({"training": {"minutes": "x"}}, "'minutes' of 'training' of .*a.json is \"x\", expected a number, or null"),
        (
            {"command": 'egs/x "unclosed'},
            "'command' of .*a.json is .*, expected a command line whose quotes are closed",
        ),
        ({"commands": {"train": "train.py '"}}, "'train' of 'commands' of .*a.json is "),
        ({"environment": {"git": 5}}, "'git' of 'environment' of .*a.json is 5, expected text, or null"),
        ({"sets": {"test": {"wer": {"rate": "1"}}}}, "'rate' of 'wer' of set 'test' of .*a.json is "),
        (
            {"sets": {"test": {"wer": {"interval": [1]}}}},
            "'interval' of 'wer' of set 'test' of .*a.json is .1., expected",
        ),
    ],
)
def test_a_result_of_other_shapes_is_refused_with_its_file(tmp_path, damage, sentence):
    (tmp_path / "a.json").write_text(json.dumps({**result(), **damage}))
    with pytest.raises(ValueError, match=f"{sentence}.*score the experiment again"):
        read_ledger([tmp_path / "a.json"])


def test_commands_lose_the_folders_of_this_machine(tmp_path):
    command = f"decode.py --exp-dir {tmp_path}/egs/x/exp --other /elsewhere/deep/model.bin --rate 1/2 --flag=/a/b"
    assert portable_command(command, tmp_path) == (
        "decode.py --exp-dir egs/x/exp --other <path>/model.bin --rate 1/2 --flag=<path>/b"
    )


RUN = "egs/toy/ASR/run.sh --feature-type fbank --recipe default"


@pytest.mark.parametrize(
    "other",
    ["--num-epochs 1", "--max-duration 100", "--seed 7", "--base-lr 0.1", "--speed-factors '1.0'", "--subset 40"],
)
def test_another_run_of_the_same_name_does_not_replace_a_row(tmp_path, other):
    path = add_to_ledger(tmp_path, {**result(), "command": RUN})
    with pytest.raises(ValueError, match=f"another run: it was made by '{RUN}', this one by '{RUN} {other}'"):
        add_to_ledger(tmp_path, {**result(), "command": f"{RUN} {other}"})
    assert json.loads(path.read_text())["command"] == RUN


@pytest.mark.parametrize(
    "same",
    [
        "--exp-dir <path>/exp --nj 8 --data-dir data --env k2",
        "--decoding-method modified_beam_search",
        "--train.seed 43",
    ],
)
def test_the_same_run_elsewhere_replaces_its_row(tmp_path, same):
    add_to_ledger(tmp_path, {**result(), "command": f"{RUN} --num-epochs 3"})
    path = add_to_ledger(tmp_path, {**result(), "command": f"{RUN} {same} --num-epochs 3"})
    assert same in json.loads(path.read_text())["command"]


@pytest.mark.parametrize("recipe", ["../../outside", "/outside", "a\nb", "a" * 300])
def test_a_result_cannot_name_a_file_outside_of_the_ledger(tmp_path, recipe):
    found = result("..", recipe=f"{recipe}/x" if recipe.startswith("..") else recipe)
    found["feature_type"] = "/x" if recipe.startswith("/") else found["feature_type"]
    with pytest.raises(ValueError, match=r"the name of a result is .*cannot be a path below"):
        add_to_ledger(tmp_path / "results", found)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "other", [{"train": "train.py --exp-dir b --base-lr 0.1"}, {"decode": "decode.py --exp-dir b --beam-size 8"}]
)
def test_rows_made_stage_by_stage_are_told_apart_too(tmp_path, other):
    commands = {"train": "train.py --exp-dir a --base-lr 0.045", "decode": "decode.py --exp-dir a --beam-size=4"}
    made = {**result(), "command": commands["train"], "commands": commands}
    path = add_to_ledger(tmp_path, made)
    with pytest.raises(ValueError, match="is the result of another run"):
        add_to_ledger(tmp_path, {**made, "commands": {**commands, **other}})
    with pytest.raises(ValueError, match="is the result of another run"):
        add_to_ledger(tmp_path, {**made, "training": {"epochs": 1}})
    elsewhere = {name: command.replace("-dir a", "-dir b") for name, command in commands.items()}
    assert add_to_ledger(tmp_path, {**made, "commands": elsewhere}) == path


def test_clean_is_a_checkout_without_files_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "library" / "environment.py"))
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "a.py").write_text("a = 1\n")
    git = ("git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *command], check=True)
    assert environment.git_revision().endswith("-clean")
    results = tmp_path / "egs" / "toy" / "ASR" / "results" / "noise"
    results.mkdir(parents=True)
    for path in (results / "fbank_default_cpu.json", tmp_path / "RESULTS.md", results.parents[1] / "RESULTS.md"):
        path.write_text("{}")
    assert environment.git_revision().endswith("-clean")
    (results.parents[1] / "conf").mkdir()
    (results.parents[1] / "conf" / "scoring.json").write_text("{}")
    assert environment.git_revision().endswith("-dirty")
    (results.parents[1] / "conf" / "scoring.json").unlink()
    (tmp_path / "library" / "a.py").write_text("a = 2\n")
    assert environment.git_revision().endswith("-dirty")
    subprocess.run([*git, "commit", "-q", "-a", "-m", "second"], check=True)
    assert environment.git_revision().endswith("-clean")
    (tmp_path / "mine.json").write_text("{}")
    assert environment.git_revision().endswith("-dirty")


def test_a_folder_of_results_that_is_not_there_empties_no_page(tmp_path, monkeypatch):
    script = Path(__file__).resolve().parents[2] / "tools" / "make_results.py"
    (tmp_path / "RESULTS.md").write_text("of before")
    monkeypatch.setattr("sys.argv", [str(script), "--results-dir", str(tmp_path / "result")])
    with pytest.raises(FileNotFoundError, match=r"--results-dir .*result does not exist, and an empty page would"):
        runpy.run_path(str(script))["main"]()
    assert (tmp_path / "RESULTS.md").read_text() == "of before"
