"""RESULTS.md is generated: every figure from its file, empty cells for what is absent, the same page twice."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_TIME = {"core_minutes": 20.4, "audio_hours": 41.7, "num_threads": 2, "world_size": 2}


def _rates(rate):
    return {"rate": rate, "num_ref": 100, "insertions": 1, "deletions": 2, "substitutions": 3}


def _row(feature_type, bits, wer):
    scored = {
        "num_utterances": 2,
        "num_empty": 0,
        "wer": {**_rates(wer), "interval": [wer - 2, wer + 2]},
        "cer": {**_rates(wer / 2), "interval": [wer / 2 - 1, wer / 2 + 1]},
        "languages": {name: {"wer": _rates(wer - 1), "cer": _rates(wer / 2 - 1)} for name in ("en", "es")},
        "decode_rtf": 0.0123,
    }
    return {
        "feature_type": feature_type,
        "recipe": "default",
        "device": "cpu",
        "device_name": "Some Processor",
        "command": f"./run.sh --feature-type {feature_type}",
        "sets": {"test": scored, "dev": scored},
        "features": {"kind": "codes", "bits_per_second": bits, "bytes_per_hour": 360000.0, "extraction_rtf": 0.0005},
        "training": {"num_parameters": 5100000, "backend": "torch", "epochs": 30, "minutes": 21.5, **_TIME},
        "decoding": {"method": "greedy_search", "suffix": "epoch-30_avg-9"},
        "environment": {"git": "abc1234-clean", "versions": {"torch": "2.13.0"}},
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results").mkdir()
    for name, bits, wer in (("mfcc_km500", 448.3, 80.0), ("fbank", 256000.0, 70.0)):
        (tmp_path / "results" / f"{name}_default_cpu.json").write_text(json.dumps(_row(name, bits, wer)))
    return tmp_path


@pytest.fixture
def make(folder, monkeypatch):
    def run(*flags):
        arguments = ["make_results.py", "--title", "Corpus", "--results-dir", folder / "results", *flags]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
        runpy.run_path(str(ROOT / "tools" / "make_results.py"))["main"]()

    return run


def test_page_holds_every_figure_in_order_of_bit_rate(folder, make):
    make()
    page = (folder / "RESULTS.md").read_text()
    assert page.index("| fbank | 256.00 |  | 0.36 | 70.0 ± 2.0 | 35.0 ± 1.0 |") < page.index("| mfcc_km500 | 0.45 |")
    assert "| mfcc_km500 | 79.0 / 39.0 | 79.0 / 39.0 | 80.0 / 40.0 |" in page
    assert "| fbank | 5.10 | torch | 30 | 41.7 | 21.5 | 20.4 | 4 |  |  | 0.0005 | 0.0123 | Some Processor |" in page
    assert "commit abc1234-clean; torch 2.13.0" in page
    assert "./run.sh --feature-type fbank" in page
    assert "](results/error_rate_against_bit_rate.png)" in page
    assert (folder / "results" / "error_rate_against_bit_rate.png").stat().st_size > 10000


def test_second_run_gives_the_same_page(folder, make):
    make()
    first = (folder / "RESULTS.md").read_bytes()
    make()
    assert (folder / "RESULTS.md").read_bytes() == first


def test_absent_fields_are_empty_cells_and_no_result_is_said(folder, make):
    bare = {"feature_type": "dmel", "recipe": "default", "device": "cpu", "sets": {}, "features": {"kind": "codes"}}
    bare["environment"] = {"git": "abc1234-dirty"}
    (folder / "results" / "dmel_default_cpu.json").write_text(json.dumps(bare))
    make()
    assert "| dmel (dirty) |  |  |  |  |  |  |  |" in (folder / "RESULTS.md").read_text()
    for path in (folder / "results").iterdir():
        path.unlink()
    make()
    assert "No run has been scored yet." in (folder / "RESULTS.md").read_text()


def test_runs_of_several_seeds_are_one_point_and_one_line(folder, make):
    for seed in (43, 44):
        row = _row("fbank", 256000.0, float(seed + 29))
        row["training"]["seed"] = seed
        (folder / "results" / f"fbank_default_cpu_seed-{seed}.json").write_text(json.dumps(row))
    make()
    page = (folder / "RESULTS.md").read_text()
    assert "| fbank | 3 | 256.00 |  | 0.36 | 71.7 ± 1.5 | 35.8 ± 0.8 | 71.7 ± 1.5 | 35.8 ± 0.8 |" in page
    assert "| mfcc_km500 | 1 | 0.45 |  | 0.36 | 80.0 ± 2.0 | 40.0 ± 1.0 | 80.0 | 40.0 |" in page


@pytest.mark.parametrize(
    "absent, named",
    [({"environment": {"git": "unknown"}}, "commit"), ({"features": {}}, "spec"), ({"environment": {}}, "commit")],
)
def test_results_that_nobody_could_repeat_are_left_out_by_name(folder, make, caplog, absent, named):
    row = {**_row("dmel", 12800.0, 75.0), **absent}
    (folder / "results" / "dmel_default_cpu.json").write_text(json.dumps(row))
    make()
    assert "dmel" not in (folder / "RESULTS.md").read_text()
    assert f"result dmel_default_cpu.json is left out: its {named} is unknown" in caplog.text


def test_result_of_an_experiment_becomes_a_row(folder, make):
    (folder / "exp").mkdir()
    (folder / "exp" / "result.json").write_text(json.dumps(_row("dmel", 12800.0, 75.0)))
    make("--exp-dir", folder / "exp", "--output", folder / "page.md")
    assert (folder / "results" / "dmel_default_cpu.json").is_file()
    assert "| dmel | 12.80 |" in (folder / "page.md").read_text()
    with pytest.raises(FileNotFoundError, match=r"result\.json does not exist"):
        make("--exp-dir", folder / "nowhere")


def test_several_test_sets_each_have_their_columns(folder, make):
    row = _row("dmel", 12800.0, 75.0)
    row["sets"] = {"clean": row["sets"]["test"], "other": _row("dmel", 12800.0, 85.0)["sets"]["test"]}
    row["sets"]["other"]["languages"].pop("es")
    (folder / "results" / "dmel_default_cpu.json").write_text(json.dumps(row))
    make("--test-split", "clean,other", "--dev-split", "dev,dev-other")
    page = (folder / "RESULTS.md").read_text()
    assert "| clean WER % | clean CER % | other WER % | other CER % | dev WER % | dev CER % | dev-other WER % |" in page
    assert "| dmel | 12.80 |  | 0.36 | 75.0 ± 2.0 | 37.5 ± 1.0 | 85.0 ± 2.0 | 42.5 ± 1.0 |  |  |  |  |" in page
    assert "Per language, clean" in page and "Per language, other" not in page


def test_published_figures_stand_beside_ours_with_their_source(folder, make):
    published = [
        {"system": "reference", "sets": {"test": {"wer": 97.0}}, "source": "a page"},
        {"system": "tokens", "feature_type": "mfcc_km500", "recipe": "default", "source": "Table 1"},
    ]
    published[1]["sets"] = {"test": {"wer": 75.5}, "dev": {"cer": 30.0}}
    (folder / "published.json").write_text(json.dumps(published))
    make("--published", folder / "published.json")
    page = (folder / "RESULTS.md").read_text()
    assert "| system | feature type | recipe | test WER % | ours | dev CER % | ours | source |" in page
    assert "| reference |  |  | 97.00 |  |  |  | a page |" in page
    assert "| tokens | mfcc_km500 | default | 75.50 | 80.00 | 30.00 | 40.00 | Table 1 |" in page
    published[1]["recipe"] = ["default", "another"]  # the better of two is published
    (folder / "published.json").write_text(json.dumps(published))
    make("--published", folder / "published.json")
    page = (folder / "RESULTS.md").read_text()
    assert "| tokens | mfcc_km500 | default | 75.50 | 80.00 | 30.00 | 40.00 | Table 1 |" in page
    assert "| tokens | mfcc_km500 | another | 75.50 |  | 30.00 |  | Table 1 |" in page


def test_a_published_figure_without_its_source_is_refused(folder, make):
    (folder / "published.json").write_text(json.dumps([{"system": "reference", "sets": {"test": {"wer": 97.0}}}]))
    with pytest.raises(ValueError, match=r"published\.json: row 0 has no 'source', expected text; correct it"):
        make("--published", folder / "published.json")


def test_feature_types_with_several_amounts_of_labels_have_a_section_and_a_chart(folder, make):
    for recipe, hours in (("default", 1.4), ("labels_10", 0.14)):
        row = _row("fbank", 256000.0, 70.0 - 10 * hours)
        row.update(recipe=recipe, training={**row["training"], "label_hours": hours})
        (folder / "results" / f"fbank_{recipe}_cpu.json").write_text(json.dumps(row))
    make()
    page = (folder / "RESULTS.md").read_text()
    assert "## Error rates against hours of labels, test" in page
    assert "| fbank | labels_10 | 0.14 | 30 | 68.6 ± 2.0 | 34.3 ± 1.0 |" in page
    assert (folder / "results" / "error_rate_against_hours_of_labels.png").stat().st_size > 10000
