"""One page for all corpora: lowest published and own figures, bit rates, nothing that cannot be traced."""

import json

import pytest

from icefall_discrete.results.overview import overview_page, read_corpora


def row(feature_type, wer, recipe="default", search=None, git="abc-clean", bits=448.3, split="test"):
    return {
        "feature_type": feature_type,
        "recipe": recipe,
        "device": "cpu",
        "search": search,
        "sets": {split: {"wer": {"rate": wer}, "cer": {"rate": wer / 2}}},
        "features": {"kind": "codes", "bits_per_second": bits},
        "environment": {"git": git},
    }


def write_recipe(egs, name, rows, published=None):
    folder = egs / name / "ASR"
    (folder / "results").mkdir(parents=True)
    (folder / "conf").mkdir()
    for number, result in enumerate(rows):
        (folder / "results" / f"{number}.json").write_text(json.dumps(result))
    if published is not None:
        (folder / "conf" / "published.json").write_text(json.dumps(published))


@pytest.fixture
def egs(tmp_path):
    own = [row("km", 50.0), row("km", 40.0, "full"), row("km", 30.0, search="1best"), row("fbank", 60.0, bits=256000.0)]
    write_recipe(tmp_path, "small", [*own, row("dmel", 1.0, git="unknown")])
    paper = [
        {
            "system": "A",
            "source": "x",
            "feature_type": "km",
            "sets": {"dev": {"cer": 1.0}, "test": {"cer": 9.5, "wer": 1}},
        },
        {"system": "B", "source": "x", "feature_type": "km", "sets": {"test": {"cer": 8.5}}},
        {"system": "C", "source": "x", "feature_type": "hubert", "sets": {"test": {"cer": 7.25}}},
        {"system": "no tokens", "source": "x", "sets": {"test": {"cer": 1.0}}},
    ]
    write_recipe(tmp_path, "large", [row("km", 22.0, split="test")], paper)
    (tmp_path / "empty" / "ASR").mkdir(parents=True)
    return tmp_path


def test_every_figure_has_its_place(egs):
    page = overview_page(read_corpora(egs))
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert table[0] == (
        "| feature type | kbit/s | [large](egs/large/ASR/RESULTS.md) test CER % | "
        "[small](egs/small/ASR/RESULTS.md) test WER % |"
    )
    assert table[2:] == [
        "| fbank | 256.00 |  | – / 60.0 |",
        "| km | 0.45 | 8.5 / 11.0 | – / 40.0 |",
        "| hubert |  | 7.2 / – |  |",
    ]


def test_runs_of_several_seeds_are_a_mean_that_says_how_many_they_are(tmp_path):
    runs = [{**row("km", rate), "training": {"seed": seed}} for seed, rate in ((42, 40.0), (43, 42.0), (44, 47.0))]
    write_recipe(tmp_path, "small", [*runs, row("km", 44.0, "full")])
    assert "| km | 0.45 | – / 43.0 ± 3.6 (3) |" in overview_page(read_corpora(tmp_path))


def test_runs_on_a_part_of_the_set_are_left_out(tmp_path):
    rows = [row("km", 50.0), row("km", 30.0, "default_cs"), row("fbank", 60.0, bits=256000.0)]
    for result, count in zip(rows, (9, 4, 9)):
        result["sets"]["test"]["num_utterances"] = count
    write_recipe(tmp_path, "small", rows)
    page = overview_page(read_corpora(tmp_path))
    assert "| km | 0.45 | – / 50.0 |" in page and "30.0" not in page


def test_what_cannot_be_traced_is_named_and_left_out(egs, caplog):
    assert "dmel" not in overview_page(read_corpora(egs))
    assert "result dmel_default_cpu.json is left out" in caplog.text


def test_another_task_has_a_table_of_its_own_whose_best_is_the_highest(egs):
    folder = egs / "small" / "LID"
    (folder / "results").mkdir(parents=True)
    for number, rate in enumerate((90.0, 95.0)):
        one = {
            **row("km", 0.0, str(number)),
            "sets": {"test": {"language_id": {"rate": rate}, "accuracy": {"rate": rate}}},
        }
        (folder / "results" / f"{number}.json").write_text(json.dumps(one))
    page = overview_page(read_corpora(egs))
    first, second = page.split("## LID\n")
    assert "## ASR\n" in first and "LID" not in first
    assert "[small](egs/small/LID/RESULTS.md) test accuracy %" in second and "| km | 0.45 | – / 95.0 |" in second
