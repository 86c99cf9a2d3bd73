"""Corpora of classes: lists to manifests, classes that cannot be learnt or told, audio that is not there."""

import pytest
from stand_in import clips, write_audio

from icefall_discrete.data.class_corpora import Listed, check_classes, choose_classes, write_classes
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError

GOOD = {"train": {"a": "x", "b": "y", "c": "x"}, "test": {"d": "y"}}


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"test": {}}, "test: it holds no utterance; was the right corpus, and the right list, given"),
        ({"train": {}}, "train: it holds no utterance"),
        ({"train": {"a": "x", "c": "x"}}, "train: the tone of all 2 utterances is x; there must be two or more"),
        ({"test": {"d": None}}, "test: the tone of utterance d is not known"),
        ({"test": {"a": "x"}}, "utterance a is in train and in test; correct one of the lists"),
        (
            {"test": {"d": "z", "e": "w", "f": "x"}},
            "test: train has no utterance whose tone is w, z, as that of d is; what is not learnt cannot be told",
        ),
    ],
)
def test_classes_that_cannot_be_told_are_refused_in_one_sentence(change, complaint):
    check_classes("tone", GOOD)
    with pytest.raises(CorpusError, match=complaint) as caught:
        check_classes("tone", {**GOOD, **change})
    assert "\n" not in str(caught.value)


@pytest.fixture
def lists(tmp_path):
    """Two classes in two splits, four utterances of real speech."""
    splits = {"train": {}, "test": {}}
    for number, clip in enumerate(clips(4)):
        path = tmp_path / "audio" / f"u{number}.wav"
        write_audio(path, clip.samples)
        split = "test" if number == 3 else "train"
        splits[split][f"u{number}"] = Listed(path, {"tone": "xy"[number % 2]}, gender="F")
    return splits


def written(tmp_path, lists):
    return write_classes(tmp_path / "manifests", "toy", "tone", lists, 1, "unpack it again")


def test_lists_become_cuts_with_facts(tmp_path, lists):
    figures = written(tmp_path, lists)
    assert {split: found.num_cuts for split, found in figures.items()} == {"train": 3, "test": 1}
    cuts = load_cuts(tmp_path / "manifests" / "toy_cuts_train.jsonl.gz")
    facts = [facts_of(cut) for cut in cuts]
    assert [cut.id for cut in cuts] == ["u0", "u1", "u2"] and [one["tone"] for one in facts] == ["x", "y", "x"]
    assert facts[0] == {"tone": "x", "text": None, "language": None, "speaker": None, "gender": "F"}


def test_missing_audio_is_refused_before_anything_is_written(tmp_path, lists):
    lists["test"]["u3"].audio.unlink()
    with pytest.raises(CorpusError, match=r"test: 1 of 1 audio file is missing \(.*u3\.wav\); unpack it again\."):
        written(tmp_path, lists)
    assert not (tmp_path / "manifests").exists()


def test_unreadable_audio_is_left_out_unless_a_class_is_lost_by_it(tmp_path, lists, caplog):
    lists["train"]["u2"].audio.write_bytes(b"no audio")
    assert written(tmp_path / "once", lists)["train"].num_cuts == 2
    assert "1 of 3 audio files are left out: u2" in caplog.text
    lists["train"]["u1"].audio.write_bytes(b"no audio")
    with pytest.raises(CorpusError, match="train: the tone of all 1 utterances is x"):
        written(tmp_path / "twice", lists)
    assert not (tmp_path / "twice").exists()


def test_rare_classes_are_left_out_and_counted(tmp_path, lists):
    written(tmp_path, lists)
    folder, splits = tmp_path / "manifests", ("train", "test")
    assert choose_classes(folder, "toy", "all", "tone", splits, 1)["train"].dropped == {}
    with pytest.raises(CorpusError, match="test: it holds no utterance"):
        choose_classes(folder, "toy", "few", "tone", splits, 2)
    with pytest.raises(CorpusError, match="train: it holds no utterance"):
        choose_classes(folder, "toy", "few", "speaker", splits, 1)
    lists["train"]["u4"] = lists["train"]["u2"]._replace(custom={"tone": "z"})
    written(tmp_path, lists)
    chosen = choose_classes(folder, "toy", "few", "tone", ("train",), 1)
    assert chosen["train"].num_cuts == 4
    lists["train"]["u5"] = lists["train"]["u1"]
    written(tmp_path, lists)
    chosen = choose_classes(folder, "toy", "few", "tone", splits, 2)
    assert chosen["train"].dropped == {"tone of fewer than 2 utterances in train": 1} and chosen["test"].num_cuts == 1
    with pytest.raises(CorpusError, match=r"nothing_cuts_train\.jsonl\.gz, whose cuts .* does not exist; prepare"):
        choose_classes(folder, "nothing", "few", "tone", splits, 2)
