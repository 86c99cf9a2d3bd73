"""Facts of cuts, and what is learnt of them: pieces of text, classes; kept with the experiment, refused if others."""

import itertools
import json

import pytest
import torch
from lhotse import MonoCut, SupervisionSegment

from icefall_discrete.data.dataset import facts_in
from icefall_discrete.data.facts import facts_of, require_fact
from icefall_discrete.data.targets.classes import ClassTargets
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.text.pieces import TextEncoder, train_bpe


def cut(cut_id="a", text="aab", **facts):
    supervision = SupervisionSegment(cut_id, "r", 0.0, 1.0, text=text, **facts)
    return MonoCut(cut_id, 0.0, 1.0, 0, supervisions=[supervision])


def batch_of(*cuts):
    facts = [facts_of(one) for one in cuts]
    return {
        "cut_ids": [one.id for one in cuts],
        "text": [one.pop("text") for one in facts],
        "languages": [one.pop("language") for one in facts],
        "facts": facts,
    }


@pytest.fixture
def pieces(tmp_path):
    train_bpe(["aab abba baab"], 6, tmp_path / "bpe.model")
    return TextEncoder(tmp_path / "bpe.model")


def test_facts_are_plain_values_of_the_first_supervision_and_the_text_is_that_of_all():
    first = SupervisionSegment("1", "r", 0.0, 1.0, text="one", speaker="x", custom={"keyword": "yes", "list": [1]})
    second = SupervisionSegment("2", "r", 1.0, 1.0, text="two", speaker="y", gender="f")
    facts = facts_of(MonoCut("a", 0.0, 2.0, 0, supervisions=[second, first]))
    assert facts == {"keyword": "yes", "text": "one two", "language": None, "speaker": "x", "gender": None}
    assert facts_of(MonoCut("a", 0.0, 2.0, 0))["text"] is None and facts_of(cut(text="  "))["text"] is None


def test_a_cut_without_a_fact_is_named_with_what_is_known():
    require_fact(cut(), "text")
    with pytest.raises(ValueError, match="cut a: its text is empty"):
        require_fact(cut(text=""), "text")
    with pytest.raises(ValueError, match=r"cut a: its keyword is not known \(known: speaker, text\); give it one"):
        require_fact(cut(speaker="x"), "keyword")


def test_a_batch_gives_its_facts_and_so_does_one_that_was_saved_before_there_were_facts():
    batch = batch_of(cut("a", language="en", speaker="x"), cut("b"))
    assert [one["speaker"] for one in facts_in(batch)] == ["x", None]
    assert facts_in(batch)[0] == facts_of(cut("a", language="en", speaker="x"))
    old = {"cut_ids": ["a"], "text": ["t"]}
    assert facts_in(old) == [{"text": "t", "language": None}]


def test_pieces_need_a_frame_each_and_for_ctc_one_between_equal_neighbours(pieces):
    labels = pieces.labels_of("aab", None)
    targets, with_ctc = PieceTargets(pieces), PieceTargets(pieces, with_ctc=True)
    assert targets.of(cut()) == labels and targets.frames_needed(cut()) == len(labels)
    repeats = sum(one == other for one, other in itertools.pairwise(labels))
    assert repeats > 0 and with_ctc.frames_needed(cut()) == len(labels) + repeats
    padded, lens = targets.collate(batch_of(cut("a"), cut("b", text="b")))
    assert lens.tolist() == [len(labels), len(pieces.labels_of("b", None))]
    assert padded[1, lens[1] :].tolist() == [pieces.blank_id] * int(lens[0] - lens[1])
    with pytest.raises(ValueError, match="cut b: its text is empty"):
        targets.collate(batch_of(cut("a"), cut("b", text="")))


def test_pieces_are_kept_with_the_experiment_and_others_are_refused(pieces, tmp_path):
    folder = tmp_path / "exp"
    folder.mkdir()
    PieceTargets(pieces).save(folder)
    PieceTargets(pieces).save(folder)
    assert PieceTargets.load(folder).size == pieces.vocab_size == PieceTargets(pieces).size
    train_bpe(["ccd dcc"], 6, tmp_path / "other.model")
    with pytest.raises(ValueError, match=r"other\.model differs from .*bpe\.model, with which training began"):
        PieceTargets(TextEncoder(tmp_path / "other.model")).save(folder)


def test_classes_are_those_of_the_training_data_counted(tmp_path):
    cuts = [cut(str(n), language=name) for n, name in enumerate(["ru", "en", "ru"])]
    targets = ClassTargets.from_cuts("language", cuts)
    assert targets.names == ["en", "ru"] and targets.counts == {"en": 1, "ru": 2} and targets.size == 2
    assert targets.of(cuts[0]) == 1 and targets.frames_needed(cuts[0]) == 1
    assert torch.equal(targets.collate(batch_of(*cuts)), torch.tensor([1, 0, 1]))
    targets.save(tmp_path)
    assert json.loads((tmp_path / "classes.json").read_text()) == {"fact": "language", "classes": {"en": 1, "ru": 2}}
    assert ClassTargets.load(tmp_path).names == targets.names
    ClassTargets.from_cuts("language", cuts[:2]).save(tmp_path)


def test_classes_may_be_a_field_of_the_corpus_and_of_speech_without_text():
    cuts = [cut(str(n), text=None, custom={"digit": n % 3}) for n in range(6)]
    assert ClassTargets.from_cuts("digit", cuts).counts == {"0": 2, "1": 2, "2": 2}


def test_what_has_no_class_or_another_is_named(tmp_path):
    targets = ClassTargets.from_cuts("speaker", [cut("a", speaker="x"), cut("b", speaker="y")])
    with pytest.raises(ValueError, match=r"cut c: its speaker is z, which is none of the 2 of .* \(x, y\)"):
        targets.frames_needed(cut("c", speaker="z"))
    with pytest.raises(ValueError, match="cut c: its speaker is not known"):
        targets.of(cut("c"))
    with pytest.raises(ValueError, match="the training data has 1 speaker \\(x\\), expected at least 2"):
        ClassTargets.from_cuts("speaker", [cut("a", speaker="x")])
    targets.save(tmp_path)
    with pytest.raises(ValueError, match=r"with which training began, has 2 classes of speaker \(x, y\)"):
        ClassTargets.from_cuts("speaker", [cut("a", speaker="x"), cut("b", speaker="z")]).save(tmp_path)
