"""docs/findings.md: made from the committed results; differences with intervals, rows that were not run, refusals."""

import json
from pathlib import Path

import pytest

from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.results.findings import comparison_table, difference, findings_page, read_findings, summary
from icefall_discrete.results.wanted_rows import ROWS_FILE, read_wanted

ROOT = Path(__file__).resolve().parents[2]
WER = metric_named("wer")


def result(feature_type, recipe, wer, half, **more):
    scored = {"wer": {"rate": wer, "interval": [wer - half, wer + half]}}
    whole = {"feature_type": feature_type, "recipe": recipe, "device": "cpu", "sets": {"test": scored, "dev": scored}}
    features = {"kind": "codes", "bits_per_second": 448.0, "position_fraction_of_entropy": 0.049}
    environment = {"git": "abc1234-clean"}
    command = f"egs/toy/ASR/run.sh --feature-type {feature_type} --recipe {recipe} --nj 4"
    return {**whole, "features": features, "environment": environment, "command": command, **more}


@pytest.fixture
def folder(tmp_path):
    """A recipe with two rows, and a question about three."""
    results = tmp_path / "egs" / "toy" / "ASR" / "results"
    results.mkdir(parents=True)
    for name, row in {"a": result("fbank", "default", 40.0, 3), "b": result("mfcc_km500", "default", 30.0, 4)}.items():
        (results / f"{name}.json").write_text(json.dumps(row))
    rows = [{"feature_type": name, "recipe": "default"} for name in ("fbank", "mfcc_km500")]
    rows.append({"feature_type": "dmel", "recipe": "default", "search": "1best", "options": "--decoding-method 1best"})
    comparison = {"what": "Toy", "recipe_dir": "toy/ASR", "sets": ["test"], "rows": rows}
    question = {"question": "Does it?", "answer": "It does.", "comparisons": [comparison]}
    units = [{"recipe_dir": "toy/ASR", "recipe": "default", "feature_types": ["mfcc_km500", "fbank_km500"]}]
    (tmp_path / "findings.json").write_text(json.dumps({"questions": [question], "units": units}))
    return tmp_path


def test_the_page_is_that_of_the_committed_results():
    findings = read_findings(ROOT / "docs" / "findings.json", ROOT / "egs")
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert findings_page(findings) == page, "run tools/make_findings.py"


def recipe_of(options):
    """The name of its recipe in tables: what is said of the model is a part of it."""
    size = f"_model-size-{options['model_size']}" if "model_size" in options else ""
    return options["recipe"] + size


def test_every_row_that_a_question_or_a_table_wants_is_planned():
    """In some rows.json of its recipe; with noise, the model that run_noise.sh measures."""
    findings = read_findings(ROOT / "docs" / "findings.json", ROOT / "egs")
    wanted = [
        (comparison["recipe_dir"], {"search": None, **row})
        for question in findings.questions
        for comparison in question["comparisons"]
        for row in comparison["rows"]
    ]
    for table in findings.units:
        units = ({"feature_type": name, "recipe": table["recipe"], "search": None} for name in table["feature_types"])
        wanted += [(table["recipe_dir"], row) for row in units]
    assert wanted
    for folder, row in wanted:
        here = ROOT / "egs" / folder
        made = [dict(options) for options in read_wanted(here / ROWS_FILE)]
        words = row.get("command", "").split()[1:]
        if {flag[2:].replace("-", "_"): value for flag, value in zip(words[::2], words[1::2])} in made:
            continue  # a command that says all options of an entry
        found = [
            one
            for one in made
            if one["feature_type"] == row["feature_type"] and one.get("together", recipe_of(one)) == row["recipe"]
        ]
        searches = [{key: one.get(key) for key in ("decoding_method", "lm")} for one in found]
        plain = {"decoding_method": None, "lm": None}
        assert any((one == plain) == (row["search"] is None) for one in searches), f"{here / ROWS_FILE} lacks {row}"
        assert (here / (row.get("script") or "run.sh")).is_file()


def test_rows_side_by_side_with_their_commands(folder):
    findings = read_findings(folder / "findings.json", folder / "egs")
    page = findings_page(findings)
    assert "## (a) Does it?\n\nIt does.\n" in page
    assert "| mfcc_km500 | default | 1 | 0.45 | 30.0 ± 4.0 | **-10.0 ± 5.0** |" in page
    assert "| dmel | default, 1best | not run |" in page
    assert "egs/toy/ASR/run.sh --feature-type fbank --recipe default --nj 4\n" in page
    assert "--feature-type dmel --recipe default --decoding-method 1best    # not run\n" in page
    assert (
        "| mfcc_km500 |  | 500 |  | 30.0 ± 4.0 | 0.45 | 4.9% |" in page and "| fbank_km500 |  | 500 | not run |" in page
    )
    assert summary(findings) == (3, 2)


def test_a_feature_type_of_another_recipe_is_named_by_its_path(folder):
    other = folder / "egs" / "other" / "ASR" / "conf" / "features" / "its_codec.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    path = folder / "findings.json"
    content = json.loads(path.read_text())
    row = {"feature_type": "../../other/ASR/conf/features/its_codec.json", "recipe": "default"}
    content["questions"][0]["comparisons"][0]["rows"] = [row]
    path.write_text(json.dumps(content))
    page = findings_page(read_findings(path, folder / "egs"))
    assert "| its_codec | default | not run |" in page
    assert f"run.sh --feature-type {row['feature_type']} --recipe default    # not run" in page
    made = folder / "egs" / "toy" / "ASR" / "results" / "c.json"
    made.write_text(json.dumps(result("its_codec", "default", 20.0, 2)))
    assert "| its_codec | default | 1 |" in findings_page(read_findings(path, folder / "egs"))
    other.unlink()
    with pytest.raises(ValueError, match=r"its_codec\.json does not exist"):
        read_findings(path, folder / "egs")


def test_differences_are_bold_where_they_are_larger_than_chance():
    def scored(rate, half):
        return {"wer": {"rate": rate, "interval": [rate - half, rate + half]}}

    assert difference(WER, scored(40.0, 3), scored(36.0, 4)) == "-4.0 ± 5.0"
    assert difference(WER, scored(40.0, 3), scored(46.0, 4)) == "**+6.0 ± 5.0**"
    assert difference(WER, {"wer": {"rate": 40.0}}, scored(46.0, 4)) == "+6.0"
    assert difference(WER, None, scored(46.0, 4)) == ""


def test_differences_are_to_the_last_row_that_begins():
    rates = {("fbank", "full"): 40.0, ("km", "full"): 30.0, ("fbank", "part"): 80.0, ("km", "part"): 60.0}
    rows = [{"feature_type": name, "recipe": recipe, "begins": name == "fbank"} for name, recipe in rates]
    lines = [result(*of, rate, 1) for of, rate in rates.items()]
    table = comparison_table(lines, {"sets": ["test", "dev"], "rows": rows}).splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("|")] for row in table]
    assert [[cell[6], cell[8]] for cell in cells] == [
        ["", ""],
        ["**-10.0 ± 1.4**"] * 2,
        ["", ""],
        ["**-20.0 ± 1.4**"] * 2,
    ]


def test_parameters_and_speeds_stand_beside_where_they_are_asked_for():
    line = result("fbank", "default", 40.0, 3, training={"num_parameters": 2_820_000, "audio_sec_per_sec": 95.53})
    line["sets"]["test"]["decode_rtf"] = 0.01234
    asked = {"sets": ["test"], "rows": [{"feature_type": "fbank", "recipe": "default"}]}
    head, _, row = comparison_table([line], {**asked, "costs": True}).splitlines()
    assert head.endswith("| parameters (M) | audio s/s | decoding RTF |") and row.endswith("| 2.82 | 95.5 | 0.0123 |")
    assert "audio s/s" not in comparison_table([line], asked)


def test_there_may_be_more_questions_than_letters(folder):
    path = folder / "findings.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "questions": content["questions"] * 28}))
    page = findings_page(read_findings(path, folder / "egs"))
    assert [mark in page for mark in ("## (a) ", "## (z) ", "## (aa) ", "## (ab) ", "## (ac) ")] == [True] * 4 + [False]


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"recipe_dir": "toi/ASR"}, r"'Toy' is of recipe folder 'toi/ASR', .* is none; did you mean toy/ASR\?"),
        (
            {"sets": ["tset"]},
            r"'Toy' has set 'tset', which no result has; did you mean test\? known: dev, test; correct",
        ),
        ({"rows": [{"feature_type": "fbnk", "recipe": "x"}]}, r"unknown feature type 'fbnk'; did you mean fbank\?"),
        (
            {"rows": [{"feature_type": "fbank", "recipe": "x", "begin": True}]},
            r"a row of 'Toy' has 'begin'; did you mean",
        ),
        ({"serach": ""}, "a comparison of question 0 has 'serach'; known: what, recipe_dir"),
    ],
)
def test_names_that_nothing_has_are_refused(folder, change, sentence):
    path = folder / "findings.json"
    content = json.loads(path.read_text())
    content["questions"][0]["comparisons"][0].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"findings\.json: .*{sentence}"):
        read_findings(path, folder / "egs")


def test_sets_with_noise_and_sets_of_recipes_without_results_are_taken(folder):
    path = folder / "findings.json"
    content = json.loads(path.read_text())
    content["questions"][0]["comparisons"][0]["sets"] = ["test", "test-babble-snr10"]
    path.write_text(json.dumps(content))
    read_findings(path, folder / "egs")
    (folder / "egs" / "new" / "ASR").mkdir(parents=True)
    content["questions"][0]["comparisons"][0].update(recipe_dir="new/ASR", sets=["eval"])
    path.write_text(json.dumps(content))
    read_findings(path, folder / "egs")


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"questions": 5}, r"'questions' of .*findings\.json is 5, expected a list of objects"),
        ({"questions": [{"question": "", "answer": "", "comparisons": []}]}, "question 0"),
        ({"units": [{"recipe_dir": "toy/ASR"}]}, "a table of 'units'"),
    ],
)
def test_a_file_of_another_form_is_refused(folder, change, sentence):
    path = folder / "findings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=sentence):
        read_findings(path, folder / "egs")
