"""References without a word that is scored: null with its count in JSON, a dash in tables, all the rest as ever."""

import json
import math
import runpy
import sys
from pathlib import Path

import pytest
import toy_corpus
from lhotse.utils import fastcopy

from icefall_discrete.audio.noise import Condition
from icefall_discrete.data.cuts import load_cuts, write_cuts
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.results.joined import joined_set
from icefall_discrete.results.overview import overview_page, read_corpora
from icefall_discrete.systems.asr.decoding_files import decoding_files
from icefall_discrete.systems.asr.recogs import write_recogs
from icefall_discrete.systems.asr.scoring import score_split, score_transcripts, set_table

ROOT = Path(__file__).resolve().parents[2]
RULES = ScoringRules(upper_case=True, unscored_words=("UH", "um"))
SAID = [
    Transcript("en-1", ("press", "one"), ("press", "won")),
    Transcript("en-2", ("uh",), ("oh", "no")),
    Transcript("xx-1", ("Uh", "um"), ("UM",)),
    Transcript("xx-2", ("UM",), ("word",)),
]
LANGUAGES = {said.cut_id: said.cut_id[:2] for said in SAID}


def scored(transcripts):
    return score_transcripts([RULES.scored(one) for one in transcripts], LANGUAGES)


def finite(value):
    """Whether no number in a JSON value is nan or infinite."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def test_a_language_of_fillers_is_null_and_the_rest_is_scored():
    found = scored(SAID)
    assert found["num_utterances"] == 4 and found["num_empty_references"] == 3 and found["num_empty"] == 1
    xx = found["languages"]["xx"]
    assert (xx["wer"]["rate"], xx["cer"]["rate"]) == (None, None)
    assert (xx["num_utterances"], xx["num_empty_references"], xx["wer"]["insertions"]) == (2, 2, 1)
    assert found["languages"]["en"]["wer"]["rate"] == 150.0 and found["wer"]["rate"] == 200.0
    low, high = found["wer"]["interval"]
    assert low < high and finite(found) and "NaN" not in json.dumps(found)
    assert [line.split() for line in set_table("test", found).splitlines()[2:]] == [
        ["en", "2", "2", "150.00", "75.00", "2", "0", "1"],
        ["xx", "2", "0", "-", "-", "1", "0", "0"],
        ["all", "4", "2", "200.00", "125.00", "3", "0", "1"],
    ]


def test_a_set_of_fillers_is_null():
    found = scored(SAID[2:])
    assert found["wer"]["rate"] is None and found["wer"]["interval"] is None and found["wer"]["errors"] == 1
    joined = joined_set(
        "test", [[RULES.scored(one)] for one in SAID[2:]], [{}, {}], lambda s: score_transcripts(s, LANGUAGES)
    )
    assert joined["cer"]["rate"] is None


@pytest.mark.parametrize("chosen, rate", [(SAID, "200.00"), (SAID[2:], "-")])
def test_the_stage_writes_its_files(tmp_path, capsys, chosen, rate):
    cuts = toy_corpus.make_cuts(tmp_path / "audio", len(chosen))
    named = [fastcopy(cut, id=said.cut_id) for cut, said in zip(cuts, chosen)]
    for cut in named:
        cut.supervisions[0] = fastcopy(cut.supervisions[0], language=cut.id[:2])
    write_cuts(tmp_path / "test.jsonl.gz", named)
    assert len(load_cuts(tmp_path / "test.jsonl.gz")) == len(chosen)
    files = decoding_files(tmp_path, "greedy_search", "epoch-1")
    write_recogs(files.recogs("test"), chosen)
    found = score_split("test", files, tmp_path, RULES)
    assert finite(found)
    assert files.wer_summary("test").read_text().splitlines()[1] == f"greedy_search\t{rate}"
    assert files.errs("test").read_text().startswith(f"%WER = {rate}\n")
    assert f"WER {rate} %" in files.page("test").read_text()
    number = found["num_empty_references"]
    assert f"{number} of {len(chosen)} references have no word that is scored" in capsys.readouterr().out


def row(feature_type, sets):
    common = {"recipe": "default", "device": "cpu", "features": {"kind": "codes", "bits_per_second": 448.0}}
    return {
        "feature_type": feature_type,
        **common,
        "environment": {"git": "abc-clean"},
        "sets": sets,
        "command": "run.sh",
    }


@pytest.mark.parametrize("others", [True, False])
def test_pages_and_charts_are_made_of_what_there_is(tmp_path, monkeypatch, others):
    results = tmp_path / "toy" / "ASR" / "results"
    (results / "noise").mkdir(parents=True)
    empty, full = scored(SAID[2:]), scored(SAID)
    noisy = Condition("babble", 5.0).set_name("test")
    rows = [row("a_km500", {"test": empty, "dev": empty}), *([row("b_km500", {"test": full, "dev": empty})] * others)]
    for content in rows:
        (results / f"{content['feature_type']}_default_cpu.json").write_text(json.dumps(content))
        sets = {**content["sets"], noisy: empty}
        (results / "noise" / f"{content['feature_type']}_default_cpu.json").write_text(
            json.dumps({**content, "sets": sets})
        )
    monkeypatch.setattr(sys, "argv", ["make_results.py", "--results-dir", str(results), "--title", "Toy"])
    runpy.run_path(str(ROOT / "tools" / "make_results.py"))["main"]()
    page = (results.parent / "RESULTS.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("| a_km500"))
    assert line.count("–") == 4 and "nan" not in page and "None" not in page
    assert (results / "error_rate_against_bit_rate.png").is_file() == others
    assert ("200.0 ±" in page) == others and ("– / –" in page)
    table = overview_page(read_corpora(tmp_path))
    assert "| a_km500 | 0.45 |  |" in table and ("| b_km500 | 0.45 | – / 200.0 |" in table) == others
