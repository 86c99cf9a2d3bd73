"""Scoring of hand-written transcripts: files in icefall's formats, the printed page, result.json, the ledger."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from lhotse import MonoCut, SupervisionSegment

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.results.ledger import read_ledger
from icefall_discrete.systems.asr.decoding_files import decoding_files
from icefall_discrete.systems.asr.recogs import write_recogs

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = "epoch-3_avg-2_context-2_max-sym-per-frame-1_use-averaged-model"
TRANSCRIPTS = {
    "dev": [Transcript("en-a", ("one", "two"), ("one", "two"))],
    "test": [
        Transcript("en-b", ("press", "one", "now"), ("press", "won", "now")),
        Transcript("en-c", ("goodbye",), ()),
        Transcript("ru-b", ("до", "свидания", "всем"), ("до", "свидания")),
    ],
}
ENVIRONMENT = {"git": "abc1234-clean", "versions": {"torch": "2.13.0"}, "cpu": "Some Processor", "cpu_count": 2}


def _write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_split(folder, split):
    supervised = [
        SupervisionSegment(t.cut_id, t.cut_id, 0.0, 2.0, text=" ".join(t.ref), language=t.cut_id[:2])
        for t in TRANSCRIPTS[split]
    ]
    cuts = [MonoCut(segment.id, 0.0, 2.0, 0, supervisions=[segment]) for segment in supervised]
    write_cuts(folder / "features" / f"{split}.jsonl.gz", cuts)
    _write_json(folder / "features" / f"extract-{split}.json", {"audio_sec": 7200.0, "wall_sec": 36.0, "bytes": 5000})
    files = decoding_files(folder / "exp", "greedy_search", SUFFIX)
    write_recogs(files.recogs(split), TRANSCRIPTS[split])
    record = {
        "made_from": {"files": {}, "settings": {"epoch": 3, "avg": 2}},
        "recipe": "default",
        "feature_dir": str(folder / "features"),
        "device": "cpu",
        "device_name": "Some Processor",
        "decode_rtf": 0.02,
        "num_too_short": 1,
        "audio_sec": 6.0,
        "environment": {**ENVIRONMENT, "command": "decode.py --exp-dir exp"},
    }
    _write_json(files.record(split), record)
    _write_json(files.pointer, {"suffix": SUFFIX, "splits": ["dev", "test"]})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "exp").mkdir()
    for split in TRANSCRIPTS:
        _write_split(tmp_path, split)
    FeatureSpec("mfcc_km500", "codes", 16000, 50.0, 1, (500,), 0).write(tmp_path / "exp" / "spec.json")
    summary = {"num_epochs": 3, "train_sec": 300.0, "train_sec_per_epoch": 90.0, "num_params": 1000, "device": "cpu"}
    epochs = [{"audio_sec": 9000.0, "train_sec": 90.0}] * 3
    _write_json(tmp_path / "exp" / "train.json", {**summary, "backend": "torch", "epochs": epochs})
    command = f"train.py --recipe-config {ROOT}/egs/x/conf/recipes/default.json --feature-dir {tmp_path}/features"
    _write_json(tmp_path / "exp" / "env.json", {**ENVIRONMENT, "command": command})
    return tmp_path


@pytest.fixture
def score(folder, monkeypatch):
    def run(*flags):
        arguments = ["score.py", "--exp-dir", folder / "exp", *flags]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
        runpy.run_path(str(ROOT / "local" / "score.py"))["main"]()
        return json.loads((folder / "exp" / "result.json").read_text(encoding="utf-8"))

    return run


def test_result_holds_rates_costs_and_provenance(score):
    result = score()
    test = result["sets"]["test"]
    assert test["wer"]["rate"] == pytest.approx(100 * 3 / 7, abs=1e-3)
    assert [test["wer"][kind] for kind in ("insertions", "deletions", "substitutions")] == [0, 2, 1]
    assert test["languages"]["ru"]["wer"]["rate"] == pytest.approx(100 / 3, abs=1e-3)
    assert (test["num_empty"], test["num_too_short"], test["decode_rtf"]) == (1, 1, 0.02)
    assert result["sets"]["dev"]["wer"]["rate"] == 0
    assert (result["feature_type"], result["recipe"], result["device"]) == ("mfcc_km500", "default", "cpu")
    assert result["device_name"] == "Some Processor"
    assert result["features"]["bits_per_second"] == pytest.approx(448.29, abs=0.01)
    assert result["features"]["bytes_per_hour"] == pytest.approx(2500)
    assert result["features"]["extraction_rtf"] == pytest.approx(0.005)
    training = result["training"]
    assert (training["epochs"], training["minutes"], training["seconds_per_epoch"]) == (3, 5.0, 90.0)
    assert (training["audio_sec_per_sec"], training["num_parameters"], training["backend"]) == (100.0, 1000, "torch")
    assert training["audio_hours"] == 7.5 and training["seed"] is None  # no config.json
    assert result["decoding"]["suffix"] == SUFFIX and result["decoding"]["git"] == ENVIRONMENT["git"]
    assert result["environment"] == ENVIRONMENT
    assert result["command"] == (
        "train.py --recipe-config egs/x/conf/recipes/default.json --feature-dir <path>/features"
    )


def test_absent_files_leave_nulls(folder, score):
    for name in ("train.json", "env.json"):
        (folder / "exp" / name).unlink()
    for path in (folder / "features").glob("extract-*"):
        path.unlink()
    result = score()
    assert set(result["training"].values()) == {None}
    assert result["features"]["bytes_per_hour"] is None
    assert result["device"] == "cpu"


def test_files_are_in_icefalls_formats(folder, score):
    score()
    errs = (folder / "exp" / "greedy_search" / f"errs-test-{SUFFIX}.txt").read_text(encoding="utf-8")
    assert errs.startswith("%WER = 42.86\nErrors: 0 insertions, 2 deletions, 1 substitutions, over 7 reference words")
    assert "en-b:\tpress (one->won) now" in errs
    summary = folder / "exp" / "greedy_search" / f"wer-summary-test-{SUFFIX}.txt"
    assert summary.read_text() == "settings\tWER\ngreedy_search\t42.86\n"


def test_page_shows_rates_words_and_the_worst(score, capsys):
    score("--splits", "test")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:1] for line in lines[:5]] == [["test"], ["----"], ["en"], ["ru"], ["all"]]
    assert lines[4].split()[1:4] == ["3", "7", "42.86"]
    assert "1 of 3 hypotheses are empty." in lines
    assert "  ref  press one now" in lines
    assert "  hyp  press won now" in lines
    assert "   1 errors of   3 words  ru-b: до свидания (всем->*)" in lines


def test_ledger_gets_the_row_and_its_later_self(folder, score):
    score("--results-dir", folder / "results", "--run-command", "./run.sh --nj 4")
    score("--results-dir", folder / "results", "--recipe", "full")
    result = score("--results-dir", folder / "results")
    paths = sorted((folder / "results").iterdir())
    assert [path.name for path in paths] == ["mfcc_km500_default_cpu.json", "mfcc_km500_full_cpu.json"]
    assert read_ledger(paths)[0] == result


def test_what_was_not_decoded_cannot_be_scored(score):
    with pytest.raises(FileNotFoundError, match=r"decode .* with --decoding-method modified_beam_search first"):
        score("--decoding-method", "modified_beam_search")


def test_transcript_of_a_cut_that_is_not_in_the_manifest_is_refused(folder, score):
    extra = [*TRANSCRIPTS["test"], Transcript("fr-z", ("a",), ("a",))]
    write_recogs(decoding_files(folder / "exp", "greedy_search", SUFFIX).recogs("test"), extra)
    with pytest.raises(ValueError, match="cut fr-z"):
        score()
