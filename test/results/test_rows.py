"""Rows that a recipe wants: which they are, how long they take, made by its run.sh, gone on with, refused by name."""

import json
import os
import runpy
import shutil
import signal
import sys
from pathlib import Path

import pytest
from lhotse import MonoCut

from icefall_discrete.base import environment
from icefall_discrete.base.environment import cpu_name
from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.results import planned_rows
from icefall_discrete.results.planned_rows import Row, Trust, planned, wanted_rows
from icefall_discrete.results.row_costs import Costs
from icefall_discrete.results.row_runs import Job, RowMaker, device_of, log_of, score_together
from icefall_discrete.results.wanted_rows import read_wanted

ROOT = Path(__file__).resolve().parents[2]
CLEAN = Trust()
PARTS = ("0-5", "6-6", "7-8")
WANTED = [
    {"train.seed": [42, 43], "feature_type": ["fbank", "km"], "recipe": "default"},
    {"feature_type": "km", "recipe": "default", "each": [{"decoding_method": "1best"}]},
]


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def here(tmp_path):
    """A recipe's folder whose run.sh only leaves the files that one would leave."""
    folder = tmp_path / "egs" / "toy" / "ASR"
    write(folder / "conf" / "rows.json", {"description": "all", "rows": WANTED})
    write(folder / "conf" / "recipes" / "default.json", {})
    shutil.copy(ROOT / "test" / "toys" / "fake_run.sh", folder / "run.sh")
    (folder / "run.sh").chmod(0o755)
    (folder / "commit").write_text("aaa1111-clean")
    (folder / "make_results.py").write_text("open('RESULTS.md', 'a').write('made\\n')\n")
    return folder


def rows_of(here, *only):
    return [planned(here, options, os.environ) for options in wanted_rows(here, only)]


def to_do(here, trust=CLEAN, only=()):
    return {str(row): row.what_is_to_do(trust, "cpu") for row in rows_of(here, *only)}


def make(here, trust=CLEAN, num_jobs=1, hours=0.0, minutes=1.0, check=lambda: None):
    said = []
    maker = RowMaker(trust, (), num_jobs, hours, said.append, check)
    jobs = [Job(row, minutes) for row in rows_of(here) if row.what_is_to_do(trust, device_of(row))]
    return maker.make(jobs), said


def calls(here):
    return (here / "calls").read_text().splitlines() if (here / "calls").is_file() else []


def test_the_rows_of_a_file_are_in_order_of_priority(here):
    names = [str(Row(here, options)) for options in wanted_rows(here, [])]
    first = ["fbank default seed 42", "km default seed 42", "fbank default seed 43", "km default seed 43"]
    assert names == [*first, "km default decoding_method 1best"]
    assert [str(Row(here, options)) for options in wanted_rows(here, ["km", "43"])] == ["km default seed 43"]


def test_entries_nest_and_a_row_wanted_twice_is_made_once(tmp_path):
    inner = [{"lm": "ngram", "lm_scale": [0.3, 0.5]}, {"recipe": None, "lm": ["ngram", "lstm"]}, {}]
    rows = [{"feature_type": "km", "recipe": "full", "each": inner}, {"feature_type": "km", "recipe": "full"}]
    write(tmp_path / "rows.json", {"rows": rows})
    km = (("feature_type", "km"), ("recipe", "full"))
    ngram = [(*km, ("lm", "ngram"), ("lm_scale", scale)) for scale in ("0.3", "0.5")]
    others = [(km[0], ("lm", lm)) for lm in ("ngram", "lstm")]
    assert read_wanted(tmp_path / "rows.json") == [*ngram, *others, km]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([7], "entry 0 of 'rows' is 7, expected an object of options of run.sh; correct it"),
        ([{}, {"each": {}}], r"entry 1 of 'rows': 'each' is \{\}, expected a list of such objects"),
        ([{"lm": []}], r"entry 0 of 'rows': 'lm' is \[\], expected a text, a number, or a list of them"),
        ([{"each": [{"exp-dir": "x"}]}], "entry 0 of 'each': 'exp_dir' is no choice of a row"),
        ([{"--stage": 1}], "entry 0 of 'rows': '--stage' begins with a dash, expected the name of an option alone"),
        ([{"feature-type": "a", "feature_type": "b"}], "entry 0 of 'rows': 'feature_type' stands twice, with '-' and"),
        ("all", "has as its 'rows' 'all', expected a 'description' and a list 'rows' of objects"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, rows, sentence):
    write(tmp_path / "rows.json", {"rows": rows})
    with pytest.raises(ValueError, match=rf"rows\.json.*{sentence}"):
        read_wanted(tmp_path / "rows.json")


def test_all_rows_are_made_once_by_stages_and_a_rerun_does_nothing(here):
    assert set(to_do(here).values()) == {"to do"}
    outcomes, said = make(here)
    assert len(outcomes) == 5 and all(outcome.is_done for outcome in outcomes)
    assert calls(here)[:3] == [f"{part} --train.seed 42 --feature-type fbank --recipe default" for part in PARTS]
    assert "done: fbank default seed 42: test WER 30.5 ± 1.0; 2.0 minutes of training; " in said[0]
    assert (here / "exp" / "rows" / "fbank_default_seed_42.log").read_text().count("$ ./run.sh --stage") == 3
    assert set(to_do(here).values()) == {""} and make(here) == ([], []) and len(calls(here)) == 15


def test_a_failure_is_told_and_the_others_go_on(here):
    (here / "fail-km").touch()
    outcomes, said = make(here)
    assert [outcome.is_done for outcome in outcomes] == [True, False, True, False, False]
    assert "FAILED: km default seed 42: error: the loss is not finite. (all of it: " in said[1]
    assert said[4].endswith("FAILED: km default decoding_method 1best: left out, as its model could not be trained")
    (here / "fail-km").unlink()
    outcomes, _ = make(here)
    assert [str(outcome.row) for outcome in outcomes if outcome.is_done] == [
        *("km default seed 42", "km default seed 43", "km default decoding_method 1best")
    ]


def test_rows_of_seeds_are_planned_made_and_known_again(here):
    """Those of wav2vec-U: the control beside them, named by what its training noted."""
    seeds = {"feature_type": "km", "recipe": "gan", "languages": "es", "num_seeds": 2}
    write(here / "conf" / "rows.json", {"rows": [{**seeds, "each": [{}, {"shuffle_text": True}]}]})
    write(here / "conf" / "recipes" / "default.json", {"train": {"steps": 5000}})
    row, control = rows_of(here)
    assert str(control) == "km gan languages es num_seeds 2 shuffle_text true"
    assert row.is_of_seeds and row.exp_dir != control.exp_dir
    cost = Costs(here).of(row)
    # Twice 5000 steps of 36 ms are 6 minutes, beside features and scoring.
    assert cost.minutes == pytest.approx(6.0 + 6.0 + 1.5) and cost.known_from.endswith("(a guess: speed not known)")
    outcomes, said = make(here)
    assert [outcome.is_done for outcome in outcomes] == [True, True] and "test LER 30.5" in said[0]
    assert set(to_do(here).values()) == {""} and make(here) == ([], [])
    names = {json.loads(path.read_text())["recipe"] for path in (here / "results").glob("*.json")}
    assert names == {"gan_es", "gan_es_shuffled-text"}
    # Each of the two seeds of both rows took a minute; one of this row's is there already.
    (row.exp_dir / ".done-6").unlink()
    write(row.exp_dir / "seeds" / "0" / "seed.json", {})
    cost = Costs(here).of(rows_of(here)[0])
    assert cost.minutes == pytest.approx(1.0 + 1.5) and cost.known_from == "as before of another machine"
    (here / "commit").write_text("bbb2222-dirty")
    for path in (here / "results").glob("*.json"):
        path.unlink()
    write(row.exp_dir / "env.json", {"git": "bbb2222-dirty"})
    assert to_do(here)[str(row)] == "to do, its experiment is of bbb2222-dirty"
    (here / "commit").write_text("bbb2222-clean")
    _, said = make(here)
    assert set(to_do(here).values()) == {""} and sum("moved aside: " in line for line in said) == 1


def test_rows_of_a_dirty_commit_are_made_again_beside_what_was(here):
    (here / "commit").write_text("aaa1111-dirty")
    make(here, Trust(allow_dirty=True))
    assert set(to_do(here).values()) == {"again, it is of aaa1111-dirty"}
    assert set(to_do(here, Trust(allow_dirty=True)).values()) == {""}
    (here / "commit").write_text("bbb2222-clean")
    _, said = make(here)
    assert set(to_do(here).values()) == {""}
    aside = [path.name for path in (here / "exp").iterdir() if ".before-" in path.name]
    assert len(aside) == 4 and sum("moved aside: " in line for line in said) == 4  # of five rows two share a model


def test_a_log_is_no_hidden_file(here):
    row = Row(here, (("feature_type", "../ASR/conf/features/codec.json"), ("recipe", "default")))
    assert log_of(row) == here / "exp" / "rows" / "ASR-conf-features-codec.json_default.log"


def test_what_a_dirty_commit_decoded_is_moved_aside_as_it_would_be_taken(here):
    make(here)
    (row,) = rows_of(here, "km default", "1best")
    search = row.exp_dir / "1best"
    for name in ("decode-test-x.json", "recogs-test-x.txt", "decode-test-x__lm.json", "decode-test-y-x-y.json"):
        write(search / name, {})
    (place,) = (here / "results").glob("km_default_1best.json")
    write(place, {**json.loads(place.read_text()), "decoding": {"git": "ccc3333-dirty", "suffix": "x"}})
    make(here)
    left = {path.name for path in search.iterdir() if ".before-" not in path.name}
    assert left == {"decode-test-x__lm.json", "decode-test-y-x-y.json"} and len(list(search.iterdir())) == 4


def test_what_was_decoded_by_a_dirty_commit_is_decoded_again_and_not_trained(here):
    make(here)
    (here / "results" / "km_default_1best.json").unlink()
    (here / "commit").write_text("ccc3333-dirty")
    make(here, Trust(allow_dirty=True))
    (here / "commit").write_text("ccc3333-clean")
    assert [name for name, what in to_do(here).items() if what] == ["km default decoding_method 1best"]
    make(here)
    assert set(to_do(here).values()) == {""} and not [one for one in (here / "exp").iterdir() if ".before-" in one.name]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"environment": {}, "decoding": {}}, "again, it is of an unknown commit"),
        ({"environment": {"git": "unknown"}}, "again, it is of an unknown commit"),
        ({"environment": {"git": "a-clean", "commits": ["a-clean", "b-dirty"]}}, "again, it is of b-dirty"),
        ({"sets": {}}, "again, it is without figures"),
    ],
)
def test_what_is_not_of_clean_commits_or_has_no_figures_is_made_again(here, change, why):
    make(here)
    (path,) = (here / "results").glob("km_default_greedy_search.json")
    write(path, {**json.loads(path.read_text()), **change})
    assert to_do(here, only=["km default seed 42"]) == {"km default seed 42": why}


def test_an_experiment_that_another_commit_went_on_with_counts_if_all_are_clean(here):
    make(here)
    (here / "results" / "km_default_greedy_search.json").unlink()
    for made_by, aside in (
        ({"git": "a-clean", "commits": ["a-clean", "b-clean"]}, ""),
        ({"git": "a-clean", "commits": ["a-clean", "b-dirty"]}, ", its experiment is of b-dirty"),
        ({}, ", its experiment is of an unknown commit"),
    ):
        write(here / "exp" / "km_default" / "env.json", made_by)
        assert to_do(here, only=["km default seed 42"]) == {"km default seed 42": f"to do{aside}"}


def test_rows_of_other_spelling_and_order_are_one(tmp_path):
    rows = [{"feature_type": "km", "recipe": "a"}, {"recipe": "a", "feature-type": "km"}]
    write(tmp_path / "rows.json", {"rows": rows})
    assert read_wanted(tmp_path / "rows.json") == [(("feature_type", "km"), ("recipe", "a"))]


def test_rows_of_before_a_commit_are_made_again(here, monkeypatch):
    make(here)
    known = {"aaa1111-clean": True}
    monkeypatch.setattr(planned_rows, "is_since", lambda revision, earlier: known.get(revision, False))
    assert set(to_do(here, Trust("v1")).values()) == {""}
    known.clear()
    assert set(to_do(here, Trust("v1")).values()) == {"again, it is of aaa1111-clean, before v1"}


def test_commits_are_compared_by_their_history():
    head, first = environment._git("rev-parse", "HEAD"), environment._git("rev-list", "--max-parents=0", "HEAD")
    if not head:
        pytest.skip("not a git checkout")
    short = environment._git("rev-parse", "--short", "HEAD")
    assert environment.is_since(f"{short}-clean", first) and environment.is_since(f"{short}-dirty", head)
    assert not environment.is_since("unknown", first) and not environment.is_since("0000000-clean", first)
    with pytest.raises(ValueError, match="'nowhere' is no commit of this clone"):
        environment.is_since(f"{short}-clean", "nowhere")


def test_no_row_is_begun_that_does_not_fit(here):
    outcomes, _ = make(here, hours=0.5, minutes=31.0)
    assert outcomes == [] and calls(here) == []
    assert len(make(here, hours=0.5, minutes=29.0)[0]) == 5


def test_nothing_is_begun_once_the_clone_is_not_clean_any_more(here):
    def check():
        if len(calls(here)) >= 6:
            raise ValueError("it has changes")

    outcomes, said = make(here, check=check)
    assert [outcome.is_done for outcome in outcomes] == [True, True, False, False, False] and len(calls(here)) == 6
    assert said[2].endswith("FAILED: fbank default seed 43: it has changes")


def test_a_row_that_came_out_dirty_is_not_done(here):
    (here / "commit").write_text("aaa1111-dirty")
    outcomes, said = make(here)
    assert not any(outcome.is_done for outcome in outcomes)
    assert said[0].endswith("FAILED: fbank default seed 42: it ran, but its result is of aaa1111-dirty")


def test_side_by_side_no_two_rows_share_a_folder(here):
    outcomes, _ = make(here, num_jobs=3)
    assert len(outcomes) == 5 and set(to_do(here).values()) == {""} and len(calls(here)) == 15


def result(minutes, feature_type="km", recipe="default", rate=50.0, cpu=None, **training):
    return {
        "feature_type": feature_type,
        "recipe": recipe,
        "device": "cpu",
        "sets": {},
        "features": {"frame_rate_hz": rate},
        "training": {"minutes": minutes, "epochs": 2, **training},
        "environment": {"cpu": cpu or cpu_name()},
    }


@pytest.mark.parametrize(
    ("before", "minutes", "known"),
    [
        # Four epochs at 30 / 2 minutes; the features are to be made (6), and it is decoded (1.5).
        ([result(30.0), result(90.0, "fbank", rate=100.0)], 67.5, "as before"),
        ([result(30.0), result(1.0, cpu="another")], 67.5, "as before"),
        ([result(30.0, cpu="another")], 67.5, "as before of another machine"),
        ([result(20.0, "mfcc"), result(24.0, "dmel", rate=40.0), result(90.0, "fbank", rate=100.0)], 51.5, "of like"),
        # What had as many epochs comes before the same feature type by an earlier recipe of the name.
        ([result(30.0), result(8.0, "dmel", epochs=4)], 15.5, "of like features"),
        # 9000 s of audio in an epoch, 60 of them a second with twice the frames: 120 with 50 Hz; 4 x 9000 / 120 = 300.
        (
            [result(9.0, "fbank", "full", 100.0, audio_sec_per_sec=60.0, seconds_per_epoch=150.0)],
            12.5,
            "by frames a second",
        ),
        # An hour where there is no manifest, two speeds: 4 x 7200 s at 75 a second are 6.4 minutes.
        ([], 13.9, "by a usual speed (a guess: speed, hours, frame rate not known)"),
    ],
)
def test_minutes_are_known_from_what_rows_took_before(here, before, minutes, known):
    for number, one in enumerate(before):
        write(
            here / "results" / f"{number}.json",
            {**one, "recipe": one["recipe"], "search": None, "command": str(number)},
        )
    names = {(one["feature_type"], one["recipe"], one["environment"]["cpu"]) for one in before}
    if len({name[:2] for name in names}) < len(names):
        (here / "results" / "1.json").unlink()  # the same row of another machine
    (row,) = rows_of(here, "km default seed 42")
    cost = Costs(here).of(row)
    assert cost.minutes == pytest.approx(minutes) and cost.known_from.startswith(known)


def test_an_epoch_with_few_labels_tells_what_one_with_all_would_take(here):
    # 900 s of audio in an epoch, 120 a second, on a quarter of an hour of labels: 3600 s with all of the hour.
    before = result(9.0, "fbank", "labels", 50.0, audio_sec_per_sec=120.0, seconds_per_epoch=7.5, label_hours=0.25)
    write(here / "results" / "before.json", before)
    (row,) = rows_of(here, "km default seed 42")
    manifest = here / row.flags("fit_tokenizer.py")["cuts"]
    manifest.parent.mkdir(parents=True)
    write_cuts(manifest, [MonoCut(f"cut{number}", 0.0, 900.0, 0) for number in range(4)])
    assert Costs(here).of(row).minutes == pytest.approx(6.0 + 1.5 + 4 * 3600 / 120 / 60)


def test_an_epoch_with_a_teacher_has_the_audio_of_all(here):
    write(here / "conf" / "recipes" / "default.json", {"filter": {"label_fraction": 0.25}})
    wanted = {"feature_type": "km", "recipe": "default", "each": [{}, {"teacher": "exp/another"}]}
    write(here / "conf" / "rows.json", {"description": "", "rows": [wanted]})
    few, taught = rows_of(here)
    # An hour by two speeds, 75 s a second, where nothing is known: four epochs of a quarter of it, or of all.
    assert Costs(here).of(few).minutes == pytest.approx(7.5 + 4 * 1800 / 75 / 60)
    assert Costs(here).of(taught).minutes == pytest.approx(7.5 + 4 * 7200 / 75 / 60)
    seen = {"audio_sec_per_sec": 120.0, "seconds_per_epoch": 30.0, "label_hours": 0.25}
    before = {**result(9.0, "fbank", "taught", 50.0, **seen), "command": "run.sh --teacher exp/another"}
    write(here / "results" / "before.json", before)
    manifest = here / few.flags("fit_tokenizer.py")["cuts"]
    manifest.parent.mkdir(parents=True)
    write_cuts(manifest, [MonoCut(f"cut{number}", 0.0, 900.0, 0) for number in range(4)])
    assert Costs(here).of(few).minutes == pytest.approx(7.5 + 4 * 900 / 120 / 60)


def test_what_rows_share_and_what_is_trained_already_is_not_counted_again(here):
    write(here / "results" / "before.json", result(30.0))
    costs, rows = Costs(here), rows_of(here, "km")
    assert [costs.of(row).minutes for row in rows] == pytest.approx([67.5, 61.5, 1.5])
    exp = here / "exp" / "km_default"
    write(exp / "train.json", {"num_epochs": 3, "epochs": []})
    assert Costs(here).of(rows[0]).minutes == pytest.approx(22.5)
    assert Costs(here).of(rows[0], begins_anew=True).minutes == pytest.approx(67.5)
    (exp / ".done-6").touch()
    assert Costs(here).of(rows_of(here, "km")[0]).minutes == pytest.approx(7.5)


@pytest.fixture
def tool(here, monkeypatch):
    def run(*flags, commit="aaa1111-clean"):
        monkeypatch.setattr(sys, "argv", ["make_rows.py", "--recipe", str(here), *flags])
        names = runpy.run_path(str(ROOT / "tools" / "make_rows.py"))
        names["main"].__globals__["git_revision"] = lambda: commit
        names["main"]()

    return run


def test_the_command_says_how_long_makes_the_rows_and_the_pages(here, tool, capsys):
    tool("--dry-run")
    told = capsys.readouterr().out
    assert (
        "fbank default seed 42" in told
        and "5 of 5 rows to do: about 0:45 h; of 4 it is a guess, as" in told
        and calls(here) == []
    )
    (here / "fail-fbank").touch()
    with pytest.raises(SystemExit) as ended:
        tool()
    told = capsys.readouterr().out
    assert ended.value.code == 1 and "3 rows made, 2 failed, 0 left for later." in told
    assert told.count("FAILED: fbank default seed 43: error: the loss is not finite.") == 2
    assert (here / "RESULTS.md").read_text() == "made\n" and "30.5" in (here.parents[2] / "RESULTS.md").read_text()


def test_a_recipe_whose_first_rows_all_fail_has_no_page_and_the_failures_are_told(here, tool, capsys):
    (here / "fail-km").touch()
    with pytest.raises(SystemExit):
        tool("--only", "km")
    assert "0 rows made, 3 failed, 0 left for later." in capsys.readouterr().out
    assert not (here / "RESULTS.md").exists() and not (here.parents[2] / "RESULTS.md").exists()


def test_the_end_of_its_terminal_ends_it_as_ctrl_c_does_unless_that_is_ignored(tool):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        tool("--dry-run")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        for number in handlers:
            signal.signal(number, signal.SIG_DFL)
        tool("--dry-run")
        for number in handlers:
            assert signal.getsignal(number) != signal.SIG_DFL
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            signal.raise_signal(number)  # once more: it is at its end already
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("commit", "sentence"),
    [("a-dirty", "has changes that no commit holds.*--allow-dirty"), ("unknown", "is no git clone")],
)
def test_the_command_refuses_what_nobody_could_repeat(here, tool, commit, sentence):
    with pytest.raises(ValueError, match=sentence):
        tool(commit=commit)
    assert calls(here) == []


def test_a_row_that_is_refused_is_named_and_the_others_are_made(here, tool, capsys):
    (here / "refuse-km").touch()
    with pytest.raises(SystemExit):
        tool("--only", "seed 42")
    told = capsys.readouterr().out
    assert "refused: no km" in told and "1 rows made, 1 failed, 0 left for later." in told


def test_rows_can_be_left_out_by_name(here, tool, capsys):
    tool("--only", "seed 42", "--without", "fbank", "--dry-run")
    told = capsys.readouterr().out
    assert "km default seed 42" in told and "fbank" not in told


def test_words_that_no_row_has_are_refused_and_so_is_an_unknown_environment(here, tool, capsys):
    with pytest.raises(ValueError, match="no row has 'fbnk' in its name; there are: fbank default seed 42; km default"):
        tool("--only", "fbnk")
    with pytest.raises(ValueError, match="--only, --without: no row has 'fbank' without 'seed', 'km' in its name"):
        tool("--only", "fbank", "--without", "seed", "--without", "km")
    with pytest.raises(SystemExit):
        tool("--env", "foo")
    assert "invalid choice: 'foo'" in capsys.readouterr().err and calls(here) == []


def test_rows_of_other_settings_are_made_again_and_their_experiments_moved_aside(here):
    make(here)
    write(here / "conf" / "recipes" / "default.json", {"train": {"num_epochs": 7}})
    assert all(what.startswith("again, it is made with other settings") for what in to_do(here).values())
    _, said = make(here)
    assert set(to_do(here).values()) == {""} and sum("moved aside: " in line for line in said) == 4


JOINING = """
import json, sys
from pathlib import Path
from icefall_discrete.results.joined import joined_result
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
parts = [json.loads(path.read_text()) for path in sorted(Path("exp/default_each/results").glob("*.json"))]
joined = joined_result(parts, {"test": parts[0]["sets"]["test"]}, flags["--recipe"])
Path(flags["--results-dir"]).mkdir()
Path(flags["--results-dir"], "joined.json").write_text(json.dumps(joined))
"""


def test_models_of_one_language_each_become_a_row_once_all_are_there(here):
    each = {"languages": ["en", "it"], "feature_type": "km", "recipe": "default", "together": "default_each"}
    write(here / "conf" / "rows.json", {"rows": [each]})
    (here / "x").mkdir()
    (here / "x" / "score_together.py").write_text(JOINING)
    assert score_together(rows_of(here), CLEAN) == []
    outcomes, _ = make(here)
    assert [outcome.is_done for outcome in outcomes] == [True, True] and not (here / "results").exists()
    (joined,) = score_together(rows_of(here), CLEAN)
    told = "scored with others as default_each: test WER 30.5 ± 1.0; 4.0 minutes of training"
    assert joined.is_done and joined.told == told
    assert score_together(rows_of(here), CLEAN) == [] and set(to_do(here).values()) == {""}
    shutil.rmtree(here / "exp")
    assert set(to_do(here).values()) == {""}  # as in a clone: the row of all is there, its parts are not
    write(here / "conf" / "recipes" / "default.json", {"train": {"num_epochs": 7}})
    assert set(to_do(here).values()) == {"to do"}
