"""Runs of several seeds: which are one line, their mean and spread by hand, where they are shown."""

import pytest

from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.results.ledger import add_to_ledger, read_ledger, row_name, seed_of
from icefall_discrete.results.page import results_page
from icefall_discrete.results.seeds import of_the_searched, over_seeds, runs_of

RUN = "egs/toy/ASR/run.sh --feature-type km --recipe default"


def figure(rate):
    return {"wer": {"rate": rate, "interval": [rate - 9, rate + 9]}, "cer": {"rate": rate / 2}}


def run(seed, rate, search=None, digest="a", **further):
    said = "" if seed == 42 else f" --train.seed {seed}"
    return {
        "feature_type": "km",
        "recipe": "default",
        "device": "cpu",
        "search": search,
        "command": RUN + said,
        "sets": {
            "test": {**figure(rate), "languages": {"en": figure(rate), "fr": figure(2.0)}, "decode_rtf": rate / 1e3}
        },
        "features": {"kind": "codes", "bits_per_second": 448.0, "codebook_sizes": [500]},
        "training": {"seed": seed, "digest_but_seed": digest, "minutes": float(seed), "epochs": 6, "backend": "torch"},
        "environment": {"git": f"c{seed}-clean", "versions": {"torch": "2"}},
        "decoding": {"method": "greedy_search", "suffix": "epoch-6"},
        **further,
    }


def seeds_of(line):
    return [seed_of(run) for run in runs_of(line)]


def test_mean_and_spread_by_hand():
    (line,) = over_seeds([run(42, 30.0), run(43, 32.0), run(44, 37.0)])
    # Mean 99 / 3 = 33; deviations -3, -1, 4: sample variance 26 / 2 = 13.
    scored, wer = line["sets"]["test"], metric_named("wer")
    assert scored["wer"]["rate"] == 33.0 and scored["wer"]["spread"] == pytest.approx(13**0.5)
    assert scored["wer"]["interval"] == pytest.approx([33 - 13**0.5, 33 + 13**0.5])
    assert scored["cer"]["spread"] == pytest.approx(13**0.5 / 2)
    assert wer.with_interval(scored) == wer.with_spread(scored) == "33.0 ± 3.6"
    assert wer.with_spread(scored["languages"]["fr"]) == "2.0 ± 0.0"
    assert line["training"]["minutes"] == 43.0 and line["training"]["backend"] == "torch"
    assert line["features"]["codebook_sizes"] == [500] and seeds_of(line) == [42, 43, 44]


def test_a_single_run_keeps_its_interval_over_utterances():
    alone = run(43, 30.0)
    (line,) = over_seeds([alone])
    assert metric_named("wer").with_interval(line["sets"]["test"]) == "30.0 ± 9.0"
    assert metric_named("wer").with_spread(line["sets"]["test"]) == "30.0" and runs_of(line) == [alone]


@pytest.mark.parametrize(
    "other", [{"digest": "b"}, {"search": "1best"}, {"recipe": "full"}, {"device": "cuda"}, {"feature_type": "fbank"}]
)
def test_what_differs_in_more_than_the_seed_stands_apart(other):
    assert [seeds_of(line) for line in over_seeds([run(42, 30.0), run(43, 32.0, **other)])] == [[42], [43]]


def test_runs_of_other_numbers_of_processes_stand_apart():
    two = run(43, 32.0)
    two["training"]["world_size"] = 2
    assert [seeds_of(line) for line in over_seeds([run(42, 30.0), two])] == [[42], [43]]


def test_all_commits_that_trained_are_shown_and_marked_if_one_is_dirty():
    made = {"git": "a-clean", "commits": ["a-clean", "b-dirty"]}
    page = results_page("T", [run(42, 30.0, environment=made)], ["test"], [], None, [])
    assert "commits a-clean, b-dirty; " in page and "| km (dirty) |" in page and "decoded by" not in page


def test_runs_of_before_are_told_apart_by_their_commands():
    before = [run(seed, 30.0, digest=None) for seed in (42, 43)]
    assert [seeds_of(line) for line in over_seeds(before)] == [[42, 43]]
    longer = {**before[1], "command": f"{RUN} --train.seed 43 --num-epochs 9"}
    assert [seeds_of(line) for line in over_seeds([before[0], longer])] == [[42], [43]]
    nothing = {name: before[0][name] for name in ("feature_type", "recipe", "device", "sets")}
    assert row_name(nothing) == row_name(before[0]) == "km_default_cpu.json" and seeds_of(nothing) == [42]


def test_a_figure_that_some_run_lacks_has_no_mean():
    less = run(43, 32.0)
    less["sets"]["test"].pop("cer")
    (line,) = over_seeds([run(42, 30.0), less])
    assert "cer" not in line["sets"]["test"] and line["sets"]["test"]["wer"]["rate"] == 31.0


def test_each_seed_has_a_file_and_they_share_the_lines_of_the_page(tmp_path):
    own = [run(seed, rate) for seed, rate in ((44, 37.0), (42, 30.0), (43, 32.0))]
    for one in (*own, run(42, 29.0, search="1best"), run(43, 28.0, search="1best")):
        add_to_ledger(tmp_path, one)
    names = ["km_default_cpu", "km_default_cpu__1best", "km_default_cpu_seed-43", "km_default_cpu_seed-43__1best"]
    assert sorted(path.stem for path in tmp_path.iterdir()) == [*names, "km_default_cpu_seed-44"]
    page = results_page("T", read_ledger(list(tmp_path.iterdir())), ["test"], [], None, [])
    assert "| feature type | runs | kbit/s |" in page and "| km | 3 | 0.45 |  |  | 33.0 ± 3.6 | 16.5 ± 1.8 |" in page
    assert "| km | 3 | 33.0 ± 3.6 / 16.5 ± 1.8 | 2.0 ± 0.0 / 1.0 ± 0.0 | 33.0 ± 3.6 / 16.5 ± 1.8 |" in page
    # Of the three models two were searched again: their own search is the mean of the same two.
    assert "| km | 2 | greedy_search (the recipe's) | 31.0 ± 1.4 | 15.5 ± 0.7 |" in page
    assert "| km | 2 | 1best | 28.5 ± 0.7 | 14.2 ± 0.4 |" in page
    made = page.split("## How each row was made")[1]
    assert "commit c42-clean; torch 2 (seed 42); commit c43-clean; torch 2 (seed 43)" in made
    assert f"      {RUN}\n      {RUN} --train.seed 43\n      {RUN} --train.seed 44\n" in made


def test_searches_of_an_earlier_model_do_not_stand_beside_the_present_one():
    rows = [run(42, 30.0), run(42, 29.0, search="1best"), run(42, 44.0, search="greedy_search", digest="b")]
    page = results_page("T", rows, ["test"], [], None, [])
    assert [row.get("search") for row in of_the_searched(rows)] == [None, "1best", "greedy_search"]
    assert [row.get("search") for row in of_the_searched([rows[0], rows[2]])] == ["greedy_search"]
    assert "| km | greedy_search | 44.0 | 22.0 |" in page


def test_what_no_commit_holds_is_marked():
    rows = [run(42, 30.0), run(43, 32.0, decoding={"git": "d-dirty"})]
    page = results_page("T", rows, ["test"], [], None, [])
    assert "| km (dirty) | 2 |" in page and "commit c43-clean, decoded by d-dirty; torch 2 (seed 43)" in page
    assert "| km | 1 |" not in page and "| km (dirty) |" not in results_page("T", rows[:1], ["test"], [], None, [])
