"""The page on tokens: every figure of every feature type has its place, with what made it, and the picture is drawn."""

import dataclasses
import json

import pytest
from toy_corpus import RATE, run_stage_script

from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.results.token_files import read_literature, read_tokens, unit_result
from icefall_discrete.results.token_report import draw_report_chart, feature_page, overview_table, report_page

KM = FeatureSpec("km", "codes", RATE, 50.0, 1, (500,), 0, {"tokenizer": "mfcc_kmeans"})
CODEC = FeatureSpec("codec", "codes", RATE, 50.0, 8, (1024,) * 8, 0, {"tokenizer": "encodec"})
CODEBOOK = {"pnmi": 0.5, "pnmi_by_chance": 0.02, "num_frames": 900, "num_units": 480, "num_labels": 28}


def row(spec, recipe, sets):
    features = unit_result(spec, "test", {}, "", {})["features"]
    return {"feature_type": spec.name, "recipe": recipe, "device": "cpu", "sets": {"test": sets}, "features": features}


@pytest.fixture
def corpus(tmp_path):
    """Two feature types: recognisers of both, a vocoder and units of one, features of a third."""
    files = {
        "ASR/results/a.json": row(KM, "default", {"wer": {"rate": 40.0, "interval": [37, 43]}}),
        # Better, but no other feature type has it; and another search.
        "ASR/results/b.json": row(KM, "full", {"wer": {"rate": 35.0}}),
        "ASR/results/d.json": {**row(CODEC, "default", {"wer": {"rate": 45.0}}), "search": "lm"},
        "ASR/results/e.json": row(dataclasses.replace(KM, name="other"), "full", {"wer": {"rate": 30.0}}),
        "ASR/results/c.json": row(CODEC, "default", {"wer": {"rate": 50.0}}),
        "TTS/results/a.json": row(
            KM,
            "default",
            {"mel_distance": {"value": 1.25}, "wer": {"rate": 60.0}, "wer_original": {"rate": 30.0}},
        ),
        # Texts that are said, and noisy speech made clean, are no resynthesis.
        "TTS/results/b.json": {**row(KM, "tts", {"wer": {"rate": 10.0}}), "decoding": {"method": "synthesis"}},
        "SE/results/a.json": {
            **row(CODEC, "default", {"mel_distance": {"value": 2.5}, "wer": {"rate": 99.0}}),
            "decoding": {"method": "enhancement"},
        },
        "ASR/results/units/km.json": unit_result(
            KM,
            "test",
            {
                "pnmi": {"value": 0.5},
                "pnmi_by_chance": {"value": 0.02},
                "abx_within": {"rate": 12.5},
                "units": {
                    "num_utterances": 9,
                    "num_without_labels": 1,
                    "num_unlabelled_frames": 70,
                    "codebooks": [CODEBOOK],
                    "abx_within": {"num_cells": 6, "num_triples": 40},
                    "lm_bits_per_second": {"3": 222.2},
                },
            },
            "test.ctm",
            {},
        ),
    }
    for name, content in files.items():
        path = tmp_path / "egs" / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    only = tmp_path / "egs" / "toy" / "ASR" / "data" / "features" / "dmel"
    only.mkdir(parents=True)
    FeatureSpec("dmel", "codes", RATE, 40.0, 80, (16,) * 80, 0).write(only / "spec.json")
    report = {"splits": {}, "entropy_bits_per_second": 9000.0, "measured_bits_per_second": 12800.0}
    (only / "report.json").write_text(json.dumps(report))
    return tmp_path / "egs" / "toy"


def test_every_figure_has_its_place(corpus):
    facts = read_tokens(corpus, "test")
    header = "| feature type | kbit/s | entropy | frames a second | codebooks | WER % | PNMI | PNMI by chance |"
    assert overview_table(facts).startswith(header)
    assert overview_table(facts).splitlines()[2:] == [
        "| [dmel](dmel.md) | 12.80 | 9.00 | 40 | 80 x 16 |  |  |  |  |  |  |",
        "| [codec](codec.md) | 4.00 |  | 50 | 8 x 1024 | 50.0 |  |  |  |  |  |",
        "| [km](km.md) | 0.45 |  | 50 | 1 x 500 | 40.0 ± 3.0 | 0.500 | 0.020 | 12.5 | 60.0 | 1.250 |",
    ]
    page = feature_page(facts[-1], facts, "test")
    for line in (
        "| n-gram of order 3, kbit/s | 0.22 |",
        "| WER % | 40.0 ± 3.0 | 1 of 2 | ASR default |",
        "| WER of resynthesis % | 60.0 | 1 of 1 | TTS default |",
        "| WER of recordings % | 30.0 | 1 of 1 | TTS default |",
        "| PNMI | 0.500 | 1 of 1 | labels of test.ctm |",
        "28 different ones on 900 frames of 9 utterances. 70 frames have none, and 1 utterances",
        "ABX within speakers: 6 cells, 40 triples.",
    ):
        assert line in page, line


def test_the_picture_has_a_panel_for_what_was_measured(corpus, tmp_path):
    facts = read_tokens(corpus, "test")
    assert draw_report_chart(tmp_path / "a.png", facts, "Tokens", ())
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not draw_report_chart(tmp_path / "b.png", facts[:1], "Tokens", ())
    page = report_page("Tokens", facts, "test", "a.png", read_literature())
    assert "![WER, PNMI, mel distance against bit rate](a.png)" in page
    assert "WER is of recognisers of one recipe, the one that most feature types have: ASR default.\n" in page
    assert "https://arxiv.org/abs/2106.07447" in page and "| 0.704 |" in page


def test_the_tool_writes_a_page_for_each_feature_type_and_one_over_all(corpus, tmp_path):
    run_stage_script("../tools/token_report.py", "--corpus", corpus, "--output", tmp_path / "pages")
    written = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert written == ["README.md", "codec.md", "dmel.md", "km.md", "tokens.png"]
    assert "[km](km.md)" in (tmp_path / "pages" / "README.md").read_text()
    missing = run_stage_script(
        "../tools/token_report.py", "--corpus", tmp_path / "none", "--output", tmp_path / "pages", check=False
    )
    assert missing.returncode == 1 and "has neither results nor features of a feature type" in missing.stderr
    (corpus / "README.md").write_text("# Toy\n")
    others = run_stage_script("../tools/token_report.py", "--corpus", corpus, "--output", corpus, check=False)
    assert others.returncode == 1 and "README.md is there already, and is no page of this tool" in others.stderr
    file = run_stage_script(
        "../tools/token_report.py", "--corpus", corpus, "--output", corpus / "README.md", check=False
    )
    assert file.returncode == 1 and "README.md is a file, expected a folder for pages" in file.stderr
    assert (corpus / "README.md").read_text() == "# Toy\n" and not (corpus / "km.md").exists()


def test_a_split_that_is_none_is_refused(corpus):
    with pytest.raises(ValueError, match=r"toy has nothing of the split 'tset'; did you mean test\? known: .*test"):
        read_tokens(corpus, "tset")


def test_files_of_another_form_are_named(corpus, tmp_path):
    units = corpus / "ASR" / "results" / "units" / "km.json"
    units.write_text(json.dumps({**read_json(units), "sets": [1]}))
    with pytest.raises(ValueError, match=r"'sets' of .*km\.json is .*run local/measure_units.py again"):
        read_tokens(corpus, "test")
    (tmp_path / "a.json").write_text(json.dumps([{"system": "A", "source": "x", "data": "y", "figures": {"pnm": 1}}]))
    with pytest.raises(ValueError, match=r"a\.json: .*'?pnm'?"):
        read_literature(tmp_path / "a.json")
