"""The section on noise of RESULTS.md and its chart: every figure in its cell and at its place."""

import json
import runpy
import sys
from pathlib import Path

import matplotlib.figure
import pytest

from icefall_discrete.audio.noise import Condition
from icefall_discrete.results.noise import NoiseResults, conditions_of, figures_table, read_noise_results
from icefall_discrete.results.noise_chart import draw_noise_chart

ROOT = Path(__file__).resolve().parents[2]
RATIOS = (20.0, 5.0, -5.0)


def scored(wer):
    return {"wer": {"rate": wer, "interval": [wer - 2.5, wer + 2.5]}, "cer": {"rate": wer / 2}}


def row(feature_type, clean, kinds=("babble", "white"), ratios=RATIOS):
    sets = {"test": scored(clean)}
    for kind in kinds:
        for number, ratio in enumerate(ratios, start=1):
            sets[Condition(kind, ratio).set_name("test")] = scored(clean + 10.0 * number + len(kind))
    common = {"recipe": "default", "device": "cpu", "features": {"kind": "codes", "bits_per_second": clean}}
    common["environment"] = {"git": "abc1234-clean"}
    return {"feature_type": feature_type, **common, "sets": sets, "command": f"./run_noise.sh {feature_type}"}


def stability(feature_type, shift=0.0):
    sets = {}
    for number, ratio in enumerate(RATIOS, start=1):
        compared = {"num_utterances": 3, "ued": 20.0 * number + shift, "ued_without_repetitions": 15.0 * number + shift}
        sets[Condition("babble", ratio).set_name("test")] = compared
    return {"feature_type": feature_type, "kind": "codes", "split": "test", "sets": sets}


@pytest.fixture
def folder(tmp_path):
    noise = tmp_path / "results" / "noise"
    (noise / "stability").mkdir(parents=True)
    for content in (row("b_km500", 40.0), row("a_km500", 50.0, kinds=("babble",), ratios=(20.0, -5.0))):
        name = f"{content['feature_type']}_default_cpu.json"
        (noise / name).write_text(json.dumps(content))
        clean = {**content, "sets": {"test": content["sets"]["test"]}}
        (noise.parent / name).write_text(json.dumps(clean))
    (noise / "stability" / "b_km500.json").write_text(json.dumps(stability("b_km500")))
    (noise / "stability" / "fbank.json").write_text(json.dumps({**stability("fbank"), "sets": {}}))
    return tmp_path


def make_results(folder, monkeypatch):
    arguments = ["make_results.py", "--results-dir", str(folder / "results"), "--title", "Corpus"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(ROOT / "tools" / "make_results.py"))["main"]()
    return (folder / "RESULTS.md").read_text()


def test_page_holds_every_figure_and_the_chart(folder, monkeypatch):
    page = make_results(folder, monkeypatch)
    section = page.split("## Noise: test")[1]
    assert "| feature type | noise | clean | 20 dB | 5 dB | -5 dB |" in section
    babble = "56.0 ± 2.5 / 28.0 | 66.0 ± 2.5 / 33.0 | 76.0 ± 2.5 / 38.0"
    white = "55.0 ± 2.5 / 27.5 | 65.0 ± 2.5 / 32.5 | 75.0 ± 2.5 / 37.5"
    assert f"| b_km500 | babble | 40.0 ± 2.5 / 20.0 | {babble} |" in section
    assert f"| b_km500 | white | 40.0 ± 2.5 / 20.0 | {white} |" in section
    assert "| a_km500 | babble | 50.0 ± 2.5 / 25.0 | 66.0 ± 2.5 / 33.0 |  | 76.0 ± 2.5 / 38.0 |" in section
    assert "| a_km500 | white" not in section
    assert "| b_km500 | babble | 0.0 / 0.0 | 20.0 / 15.0 | 40.0 / 30.0 | 60.0 / 45.0 |" in section
    assert "fbank" not in section
    assert "./run_noise.sh b_km500" in section
    assert "](results/noise_test.png)" in section
    assert (folder / "results" / "noise_test.png").read_bytes().startswith(b"\x89PNG")
    assert make_results(folder, monkeypatch) == page
    assert page.count("| b_km500 |") > section.count("| b_km500 |")  # the clean tables are still there


def test_no_noise_no_section(folder, monkeypatch):
    for path in (folder / "results" / "noise").rglob("*.json"):
        path.unlink()
    assert "## Noise" not in make_results(folder, monkeypatch)
    assert read_noise_results(folder / "nowhere") == NoiseResults([], [])


def test_a_foreign_file_is_refused(folder):
    (folder / "results" / "noise" / "stability" / "x.json").write_text("{}")
    with pytest.raises(ValueError, match=r"x\.json has no 'feature_type', .*; it does not hold token stability"):
        read_noise_results(folder / "results")


def test_searches_of_a_model_are_named():
    rows = [row("a", 40.0, kinds=("white",)), {**row("a", 45.0, kinds=("white",)), "search": "1best"}]
    lines = figures_table(rows, "test").splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| a", "| a (1best)"]


def test_conditions_are_ordered_by_kind_and_falling_ratio():
    names = ["test-white-snr0", "test", "test-babble-snr-5", "test-babble-snr10", "dev-white-snr0", "test-white-snr2.5"]
    assert conditions_of(names, "test") == [("babble", 10.0), ("babble", -5.0), ("white", 2.5), ("white", 0.0)]


@pytest.fixture
def figure_of(tmp_path, monkeypatch):
    figures = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure, *args, **options):
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)

    def draw(results):
        draw_noise_chart(tmp_path / "a.png", results, "test", "title")
        return figures[-1]

    return draw


def test_chart_has_a_line_a_model_with_its_values_at_its_ratios(figure_of):
    figure = figure_of(NoiseResults([row("b", 40.0), row("a", 50.0)], [stability("b"), stability("a", 1.0)]))
    panels = figure.axes
    assert [axis.get_title() for axis in panels[:2]] == ["babble", "white"] and len(panels) == 4
    lines = {line.get_label(): line for line in panels[0].get_lines() if line.get_label() in "ab"}
    assert list(lines["b"].get_ydata()) == [76.0, 66.0, 56.0, 40.0]
    assert list(lines["a"].get_ydata()) == [86.0, 76.0, 66.0, 50.0]
    assert list(lines["b"].get_xdata()[:3]) == [-5.0, 5.0, 20.0] and lines["b"].get_xdata()[3] > 20.0
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["-5", "5", "20", "clean"]
    below = {line.get_label(): list(line.get_ydata()) for line in panels[2].get_lines()}
    assert below["b"] == [60.0, 40.0, 20.0, 0.0] and below["a"] == [61.0, 41.0, 21.0, 0.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a"]


def test_many_lines_are_told_apart(figure_of):
    figure = figure_of(NoiseResults([row(f"type{number}", 30.0 + number) for number in range(9)], []))
    drawn = [line for line in figure.axes[0].get_lines() if line.get_label().startswith("type")]
    styles = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in drawn}
    assert len(drawn) == len(styles) == 9


def test_same_results_same_picture(tmp_path):
    results = NoiseResults([row("b", 40.0)], [stability("b")])
    for name in ("a.png", "b.png"):
        draw_noise_chart(tmp_path / name, results, "test", "title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no result has 'test' and a noisy version"):
        draw_noise_chart(tmp_path / "a.png", NoiseResults([], [stability("b")]), "test", "title")
