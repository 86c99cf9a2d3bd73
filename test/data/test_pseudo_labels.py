"""Pseudo-labels on cuts: truth comes first, copies follow, they are no transcripts and never scored against."""

import pytest
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from icefall_discrete.data.label_share import label_hours, labelled_ids, with_labels
from icefall_discrete.data.language_sampling import mixed_cuts
from icefall_discrete.data.loaders import LoaderConfig, epoch_sampler
from icefall_discrete.data.pseudo_labels import (
    is_pseudo_labelled,
    pseudo_label_hours,
    pseudo_labelled,
    require_truth,
    with_pseudo_labels,
    without_text,
)

SAID_BY = {"model": "teacher", "commit": "abc-clean", "search": "greedy_search epoch-2", "score": -1.5}


def cut_of(name, text="the truth", duration=2.0, language="en"):
    said = SupervisionSegment(name, name, 0.0, duration, text=text, language=language, speaker="who")
    recording = Recording(name, [], 16000, round(duration * 16000), duration)
    return MonoCut(name, 0.0, duration, 0, supervisions=[said], recording=recording)


@pytest.fixture(scope="module")
def cuts():
    originals = [cut_of(f"u{number}", duration=1.0 + number / 10) for number in range(10)]
    return CutSet.from_cuts([*originals, *(cut.perturb_speed(0.9) for cut in originals)])


def pseudo_of(cuts, *names):
    return CutSet.from_cuts([pseudo_labelled(cut, f"guess {cut.id}", SAID_BY) for cut in cuts if cut.id in names])


def test_truth_comes_first_and_copies_follow_their_utterance(cuts):
    true_ids = labelled_ids(cuts, 0.3)
    others = sorted({f"u{number}" for number in range(10)} - true_ids)
    pseudo = pseudo_of(cuts, *others[:4], *true_ids)
    found = {cut.id: cut for cut in with_pseudo_labels(cuts, pseudo, 0.3)}
    assert set(found) == {f"{name}{end}" for name in (*true_ids, *others[:4]) for end in ("", "_sp0.9")}
    for name in true_ids:
        assert found[name].supervisions[0].text == found[f"{name}_sp0.9"].supervisions[0].text == "the truth"
    for name in others[:4]:
        for copy in (found[name], found[f"{name}_sp0.9"]):
            (said,) = copy.supervisions
            assert (said.text, said.language, said.speaker) == (f"guess {name}", "en", "who")
            assert said.custom["pseudo_label"] == SAID_BY and said.duration == copy.duration
    trained = CutSet.from_cuts(found.values())
    assert with_labels(trained, 0.3) is trained, "a share would be taken of a share"
    assert label_hours(trained) * 3600 == pytest.approx(sum(found[name].duration for name in true_ids))
    assert pseudo_label_hours(trained) * 3600 == pytest.approx(sum(found[name].duration for name in others[:4]))


def test_what_was_written_is_gone_with_the_text():
    cut = cut_of("u")
    cut.supervisions[0].custom = {"written": "The Truth!", "prompt_id": "7"}
    assert pseudo_labelled(cut, "guess", SAID_BY).supervisions[0].custom == {"prompt_id": "7", "pseudo_label": SAID_BY}
    assert without_text(cut).supervisions[0].custom == {"prompt_id": "7"}
    assert cut.supervisions[0].custom["written"] == "The Truth!"


def test_cuts_without_any_text_learn_from_pseudo_labels_and_lose_none_of_the_truth(cuts):
    silent = MonoCut("silent", 0.0, 2.0, 0, recording=cut_of("silent").recording)
    hidden = without_text(cut_of("hidden"))
    pseudo = CutSet.from_cuts([pseudo_labelled(cut, "guess", SAID_BY) for cut in (silent, hidden)])
    found = with_pseudo_labels(CutSet.from_cuts([*cuts, silent, hidden]), pseudo)
    assert [is_pseudo_labelled(cut) for cut in found] == [False] * 20 + [True] * 2
    assert found["silent"].supervisions[0].duration == 2.0


def test_what_is_no_pseudo_label_or_of_no_use_is_refused(cuts):
    with pytest.raises(ValueError, match=r"cut u0 of --pseudo-labels has no pseudo-label; give a file that"):
        with_pseudo_labels(cuts, CutSet.from_cuts([cuts["u0"]]), 0.3)
    with pytest.raises(ValueError, match="none of the 2 pseudo-labels is of a training cut without transcript"):
        with_pseudo_labels(cuts, pseudo_of(cuts, "u1", "u2"))


def test_nothing_is_compared_with_what_a_model_said(cuts):
    require_truth(cuts, "scoring")
    with pytest.raises(ValueError, match="cut u3: its text is a pseudo-label, said by teacher, and scoring needs what"):
        require_truth([cuts["u1"], *pseudo_of(cuts, "u3")], "scoring")


@pytest.mark.parametrize("share", [0.25, 0.8, 1.0])
def test_an_epoch_has_its_share_of_pseudo_labels_and_stays_as_long(cuts, share):
    trained = with_pseudo_labels(cuts, pseudo_of(cuts, *(f"u{number}" for number in range(10))), 0.3)
    whole = sum(cut.duration for cut in trained)
    for epoch in (1, 2):
        drawn = mixed_cuts(trained, share, epoch, seed=1)
        guessed = sum(cut.duration for cut in drawn if is_pseudo_labelled(cut))
        assert guessed / whole == pytest.approx(share, abs=2.2 / whole)
        assert sum(cut.duration for cut in drawn) == pytest.approx(whole, abs=4.4)
    config = LoaderConfig(max_duration=6.0, num_buckets=2, pseudo_share=share)
    batches = [[[cut.id for cut in batch] for batch in epoch_sampler(trained, config, 2, 1)] for _ in range(2)]
    assert batches[0] == batches[1]
    assert sorted(name for batch in batches[0] for name in batch) == sorted(cut.id for cut in drawn)


def test_a_share_of_what_is_not_there_is_refused(cuts):
    with pytest.raises(ValueError, match=r"pseudo_share is 0\.5, but no training cut has pseudo-labels"):
        mixed_cuts(cuts, 0.5, 1, 1)
    with pytest.raises(ValueError, match="drawn by one of the two"):
        LoaderConfig(pseudo_share=0.5, language_temperature=2.0)
