"""Differences of systems on the same utterances: intervals by hand, what cannot be compared, the tool."""

import json
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.metrics.paired import MOST_UTTERANCES, paired_difference, utterance_counts
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.results.findings import difference
from icefall_discrete.results.result_shapes import require_result
from icefall_discrete.systems.asr.scoring import score_transcripts

TOOL = Path(__file__).resolve().parents[2] / "tools" / "compare_results.py"
NUM = 400
HARDNESS = np.random.default_rng(0).integers(0, 6, NUM)
WER = metric_named("wer")


def scored(errors, of=None):
    """Scores of utterances of ten words each, as stage 8 keeps them."""
    of = np.full(len(errors), 10) if of is None else of
    counts = {f"cut-{i:05d}": (int(e), int(n)) for i, (e, n) in enumerate(zip(errors, of))}
    rate = 100 * sum(errors) / sum(of)
    return {"wer": {"rate": rate, "interval": [rate - 3, rate + 3]}, **utterance_counts({"wer": counts})}


def test_the_interval_is_that_of_the_mean_of_differences():
    better = np.maximum(HARDNESS - np.random.default_rng(1).integers(0, 2, NUM), 0)
    found = paired_difference(scored(HARDNESS), scored(better), "wer", replications=4000)
    changes = 10.0 * (better - HARDNESS)
    assert (found.low + found.high) / 2 == pytest.approx(changes.mean(), abs=0.05)
    assert found.half_width == pytest.approx(1.96 * changes.std() / math.sqrt(NUM), rel=0.05)
    assert found.lower == 1
    # What is hard for both is no part of it: figures that stood alone could not be told apart.
    assert difference(WER, scored(HARDNESS), scored(better)) == f"**{changes.mean():+.1f} ± {found.half_width:.1f}**"
    assert abs(changes.mean()) < math.hypot(3, 3) * 2


def test_equal_systems_do_not_differ():
    found = paired_difference(scored(HARDNESS), scored(HARDNESS), "wer")
    assert (found.low, found.high, found.lower) == (0, 0, 0.5)


@pytest.mark.parametrize(
    "other",
    [
        {"wer": {"rate": 1.0}},
        scored(HARDNESS[:-1]),
        scored(HARDNESS, np.full(NUM, 11)),
        {**scored(HARDNESS), "utterances": {**scored(HARDNESS)["utterances"], "cuts": "of others"}},
    ],
)
def test_what_does_not_answer_the_same_is_not_paired(other):
    assert paired_difference(scored(HARDNESS), other, "wer") is None
    assert difference(WER, scored(HARDNESS), {"wer": {"rate": 40.0, "interval": [38, 42]}}).endswith("± 3.6**")


def test_order_of_transcripts_does_not_matter_and_large_sets_are_not_kept():
    said = [Transcript("b", ("one", "two"), ("one",)), Transcript("a", ("three",), ("tree", "two"))]
    of = {"a": "en", "b": "en"}
    kept = score_transcripts(said, of)["utterances"]
    assert kept == score_transcripts(said[::-1], of)["utterances"]
    assert kept["wer"] == {"counted": "2 1", "of": "1 2"}
    assert utterance_counts({"wer": {str(i): (0, 1) for i in range(MOST_UTTERANCES + 1)}}) == {}


def result(errors, **kept):
    whole = {"feature_type": "fbank", "recipe": "default", "device": "cpu"}
    return {**whole, "sets": {"test": {**scored(errors), **kept}}}


@pytest.mark.parametrize(
    "columns", ["0 1", {"counted": "1 2", "of": "1"}, {"counted": "-1", "of": "1"}, {"counted": [1]}]
)
def test_another_form_is_refused(columns):
    with pytest.raises(ValueError, match=r"'wer' of 'utterances' of set 'test' of it is .*, expected whole numbers as"):
        require_result(result(HARDNESS, utterances={"cuts": "x", "wer": columns}), "it")


def test_the_tool_says_how_sure_it_is(tmp_path, capsys, monkeypatch):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, errors in zip(files, (HARDNESS, np.maximum(HARDNESS - 1, 0))):
        path.write_text(json.dumps(result(errors)))
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, files)])
    compare = runpy.run_path(str(TOOL))["main"]
    compare()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split("  ")[0] == "set" and printed[2].split()[:2] == ["test", "WER"]
    assert printed[2].endswith("100.0 %")
    files[0].write_text(json.dumps(result(HARDNESS, utterances=None)))
    with pytest.raises(ValueError, match=r"a\.json and .*b\.json have no set in common .* --stage 8"):
        compare()
