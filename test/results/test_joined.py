"""Several models scored as one: rates of the union, summed costs, refusals, and the stage that does it."""

import functools
import json
import runpy
import sys
from pathlib import Path

import pytest
from lhotse import MonoCut, SupervisionSegment

from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.results.joined import joined_result, joined_set
from icefall_discrete.results.ledger import read_ledger
from icefall_discrete.systems.asr.decoding_files import decoding_files
from icefall_discrete.systems.asr.recogs import write_recogs
from icefall_discrete.systems.asr.scoring import score_transcripts

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "en": [Transcript("en-1", ("press", "one"), ("press", "won")), Transcript("en-2", ("goodbye",), ())],
    "it": [Transcript("it-1", ("ciao", "a", "tutti"), ("ciao", "a", "tutti"))],
}
LANGUAGES = {"en-1": "en", "en-2": "en", "it-1": "it"}
SCORE = functools.partial(score_transcripts, language_of=LANGUAGES)
FACTS = {
    "en": {"decode_rtf": 0.1, "audio_sec": 30.0, "peak_memory_mib": 400.0, "num_too_short": 1},
    "it": {"decode_rtf": 0.4, "audio_sec": 10.0, "peak_memory_mib": 500.0, "num_too_short": 0},
}


def result(language, **changes):
    training = {"minutes": 10.0, "num_parameters": 1000, "epochs": 6, "backend": "torch", "seconds_per_epoch": 90.0}
    training["audio_sec_per_sec"] = 33.0
    return {
        "feature_type": "x",
        "recipe": f"default_{language}",
        "device": "cpu",
        "search": None,
        "command": f"run.sh --languages {language}",
        "training": training,
        "decoding": {"method": "greedy_search", "suffix": "epoch-6"},
        "sets": {"test": {**score_transcripts(PARTS[language], LANGUAGES), **FACTS[language]}},
        **changes,
    }


def test_the_union_is_scored_as_the_transcripts_of_one_model():
    joined = joined_set("test", list(PARTS.values()), list(FACTS.values()), SCORE)
    expected = score_transcripts([*PARTS["en"], *PARTS["it"]], LANGUAGES)
    assert {key: joined[key] for key in expected} == expected
    assert joined["decode_rtf"] == pytest.approx((3.0 + 4.0) / 40.0)
    assert (joined["peak_memory_mib"], joined["num_too_short"], joined["audio_sec"]) == (500.0, 1, 40.0)
    assert joined_set("test", list(PARTS.values()), [{}, {}], SCORE)["decode_rtf"] is None
    with pytest.raises(ValueError, match="2 cuts of test were decoded by more than one"):
        joined_set("test", [PARTS["en"], PARTS["en"]], list(FACTS.values()), SCORE)


def test_costs_are_summed_and_what_differs_is_null():
    joined = joined_result([result("en"), result("it")], {"test": {}}, "each")
    assert joined["training"]["minutes"] == 20.0 and joined["training"]["num_parameters"] == 2000
    assert joined["training"]["epochs"] == 6 and joined["recipe"] == "each"
    assert joined["command"] == "run.sh --languages en; run.sh --languages it"
    other = result("it", training={**result("it")["training"], "epochs": 7, "minutes": None})
    training = joined_result([result("en"), other], {}, "each")["training"]
    assert training["epochs"] is None and training["minutes"] is None
    with pytest.raises(ValueError, match="their device differs: cpu, cuda"):
        joined_result([result("en"), result("it", device="cuda")], {}, "each")


def test_the_stage_makes_a_row_of_the_tables(tmp_path, monkeypatch, capsys):
    exp_dirs = []
    for language, transcripts in PARTS.items():
        exp_dir = tmp_path / language
        files = decoding_files(exp_dir, "greedy_search", "epoch-6")
        write_recogs(files.recogs("test"), transcripts)
        files.pointer.write_text(json.dumps({"suffix": "epoch-6", "splits": ["test"]}))
        (exp_dir / "result.json").write_text(json.dumps(result(language)))
        exp_dirs += ["--exp-dir", exp_dir]
    segments = [
        SupervisionSegment(cut_id, cut_id, 0.0, 1.0, text="a", language=LANGUAGES[cut_id]) for cut_id in LANGUAGES
    ]
    cuts = [MonoCut(segment.id, 0.0, 1.0, 0, supervisions=[segment]) for segment in segments]
    write_cuts(tmp_path / "features" / "test.jsonl.gz", cuts)
    flags = ["--feature-dir", tmp_path / "features", "--recipe", "each", "--output", tmp_path / "each.json"]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, [*exp_dirs, *flags, "--results-dir", tmp_path / "results"])])
    runpy.run_path(str(ROOT / "local" / "score_together.py"))["main"]()
    (row,) = read_ledger(list((tmp_path / "results").glob("*.json")))
    assert row["recipe"] == "each" and sorted(row["sets"]["test"]["languages"]) == ["en", "it"]
    assert row["sets"]["test"]["wer"]["rate"] == pytest.approx(100 * 2 / 6, abs=1e-3)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:5]] == ["en", "it", "all"]
