"""Trials: lists that are read, drawn and checked."""

import itertools

import pytest

from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.trials import Trial, check_trials, draw_trials, read_trials, write_trials

CLASSES = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "c1": "c"}


def test_a_list_is_read_as_it_was_written(tmp_path):
    trials = [Trial(True, "a1", "a2"), Trial(False, "b1", "a2")]
    write_trials(tmp_path / "test.txt", trials)
    assert (tmp_path / "test.txt").read_text() == "1 a1 a2\n0 b1 a2\n"
    assert read_trials(tmp_path / "test.txt") == trials
    assert read_trials(tmp_path / "test.txt", str.upper)[0] == Trial(True, "A1", "A2")


@pytest.mark.parametrize("line", ["2 a1 a2", "1 a1", "1 a1 a2 a3", "a1 a2 1", "1 a1 bad"])
def test_a_line_that_is_no_trial_is_named(tmp_path, line):
    (tmp_path / "test.txt").write_text(f"1 a1 a2\n{line}\n")
    with pytest.raises(CorpusError, match=rf"test\.txt, line 2: expected '<1 or 0> .*, got '{line}'; fetch"):
        read_trials(tmp_path / "test.txt", lambda name: None if name == "bad" else name)


def test_an_absent_and_an_empty_list_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"test\.txt, the list of trials, does not exist"):
        read_trials(tmp_path / "test.txt")
    (tmp_path / "test.txt").write_text("\n")
    with pytest.raises(CorpusError, match=r"test\.txt: it holds no trial"):
        read_trials(tmp_path / "test.txt")


@pytest.mark.parametrize(
    "trials, complaint",
    [
        ([Trial(True, "a1", "x")], r"its trials name 1 utterance that is not there, or cannot be read \(x\)"),
        (
            [Trial(True, "a1", "a2"), Trial(True, "a1", "b1")],
            "trial 2 of a1 and b1 is marked 1, but they are of a and b",
        ),
        ([Trial(True, "a1", "a2"), Trial(False, "b1", "u")], "trial 2 names u, whose speaker is not known"),
        ([Trial(True, "a1", "a1")], "trial 1 compares a1 with itself"),
        ([Trial(True, "a1", "a2")], "all 1 trials are of the same speakers"),
        ([Trial(False, "a1", "b2"), Trial(False, "a2", "b1")], "all 2 trials are of different speakers"),
    ],
)
def test_trials_that_cannot_be_scored_are_refused(trials, complaint):
    with pytest.raises(CorpusError, match=f"^list: {complaint}"):
        check_trials("list", trials, {**CLASSES, "u": None})


def test_half_of_the_trials_that_are_drawn_are_of_one_speaker_and_none_is_there_twice():
    every = list(itertools.combinations(sorted(CLASSES), 2))
    for most, number in ((3, 3), (100, 4)):  # a has three pairs, b one
        trials = draw_trials("dev", CLASSES, most, 0)
        check_trials("dev", trials, CLASSES)
        assert [trial.is_target for trial in trials] == [True] * number + [False] * number
        assert len({trial[1:] for trial in trials}) == 2 * number and {trial[1:] for trial in trials} <= set(every)
    assert draw_trials("dev", CLASSES, 3, 0) == draw_trials("dev", dict(sorted(CLASSES.items(), reverse=True)), 3, 0)
    drawn = {trial[1:] for seed in range(200) for trial in draw_trials("dev", CLASSES, 1, seed)}
    assert drawn == set(every), "each pair can be drawn"


def test_trials_cannot_be_drawn_from_one_speaker_or_from_single_utterances():
    with pytest.raises(CorpusError, match="dev: its 2 utterances are of one speaker only"):
        draw_trials("dev", {"a1": "a", "a2": "a"}, 5, 0)
    with pytest.raises(CorpusError, match="dev: its 2 utterances are of as many speakers as there are"):
        draw_trials("dev", {"a1": "a", "b1": "b"}, 5, 0)
