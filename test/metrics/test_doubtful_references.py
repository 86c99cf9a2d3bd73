"""Doubtful references: what two recognisers contradict together, not what either gets wrong alone."""

import pytest
from lhotse import CutSet
from toy_corpus import make_cuts, run_stage_script

from icefall_discrete.metrics.doubtful_references import Doubt, doubtful_references
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.recogs import write_recogs


def _transcripts(**hyps):
    refs = {"right": "good day", "alone": "one two three", "runs_on": "press one to end press two", "tone": "a beep"}
    return [Transcript(cut_id, tuple(refs[cut_id].split()), tuple(hyp.split())) for cut_id, hyp in hyps.items()]


FIRST = _transcripts(right="good day", alone="on two three", runs_on="press one to end", tone="")
SECOND = _transcripts(right="good dad", alone="one two three", runs_on="pres one to ent", tone="you")


def test_what_both_contradict_alike_is_doubted_and_what_one_gets_wrong_is_not():
    doubts = doubtful_references(FIRST, SECOND)
    # "presstwo" is lacking in both: 8 characters from one, 10 from the other, 2 between them.
    assert doubts == [Doubt("runs_on", 6, "press one to end press two", "press one to end", "pres one to ent")]
    assert [one.cut_id for one in doubtful_references(FIRST, SECOND, least=2)] == ["runs_on", "tone"]


def test_the_order_of_the_recognisers_changes_no_doubt():
    turned = doubtful_references(SECOND, list(reversed(FIRST)), least=1)
    assert [one[:3] for one in turned] == [one[:3] for one in doubtful_references(FIRST, SECOND, least=1)]


@pytest.mark.parametrize(
    "first, second, sentence",
    [
        (FIRST[:2], FIRST[:1], "cut alone was understood by the first recogniser alone"),
        (FIRST[:1], FIRST[:2], "cut alone was understood by the second recogniser alone"),
        (FIRST[:1], [FIRST[0]._replace(ref=("bad", "day"))], "cut right has the references 'good day' and 'bad day'"),
    ],
)
def test_different_sets_are_refused(first, second, sentence):
    with pytest.raises(ValueError, match=sentence):
        doubtful_references(first, second)


def test_the_tool_tells_the_figures_with_and_without_and_makes_a_page_to_listen(tmp_path, capsys):
    for name, transcripts in (("first", FIRST), ("second", SECOND)):
        write_recogs(tmp_path / f"{name}.txt", transcripts)
    cuts = [cut.with_id(one.cut_id) for cut, one in zip(make_cuts(tmp_path, len(FIRST)), FIRST)]
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl.gz")
    page = tmp_path / "page.html"
    files = [tmp_path / name for name in ("first.txt", "second.txt")]
    said = run_stage_script(
        "../tools/doubtful_references.py", *files, "--cuts", tmp_path / "cuts.jsonl.gz", "--page", page
    ).stderr
    printed = capsys.readouterr().out
    assert "1 of 4 references are doubtful." in printed
    assert "two searches of one model" in said
    # 5 of 13 words, 14 of 44 characters; without the doubtful cut 3 of 7 and 6 of 23.
    assert ["first", "38.46", "42.86", "31.82", "26.09"] in [line.split() for line in printed.splitlines()]
    assert page.read_text(encoding="utf-8").count("<audio") == 1
    # A third one of the set is told too; one of other cuts, cuts of another set and a folder are refused.
    asked = ("../tools/doubtful_references.py", *files)
    run_stage_script(*asked, files[1])
    assert "3.      53.85" in capsys.readouterr().out
    write_recogs(tmp_path / "fewer.txt", FIRST[1:])
    CutSet.from_cuts(cuts[:1]).to_file(tmp_path / "one.jsonl.gz")
    refused = {
        "fewer.txt is not of the cuts and references of": [tmp_path / "fewer.txt"],
        "one.jsonl.gz lacks cut runs_on, which was decoded": ["--cuts", tmp_path / "one.jsonl.gz", "--page", page],
        "is a folder, expected recogs-<set>-": [tmp_path],
    }
    for sentence, more in refused.items():
        assert sentence in run_stage_script(*asked, *more, check=False).stderr
