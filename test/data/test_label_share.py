"""Shares of labels: nested, the same of each language, speed copies with their utterance, all for 1."""

import collections
import itertools

import pytest
from lhotse import CutSet, SupervisionSegment
from lhotse.testing.dummies import dummy_cut, dummy_recording

from icefall_discrete.data.cuts import is_speed_perturbed, language_of, original_id
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.label_share import label_hours, labelled_ids, with_labels


def cuts_of(numbers):
    cuts = []
    for language, number in numbers.items():
        for place in range(number):
            name = f"{language}-{place}"
            segment = SupervisionSegment(name, name, 0.0, 1.0, text="word", language=language)
            cut = dummy_cut(place, duration=1.0, recording=dummy_recording(place), supervisions=[segment])
            cut.id = name
            cuts += [cut, cut.perturb_speed(0.9)]
    return CutSet.from_cuts(cuts)


def test_shares_are_nested_and_the_same_of_each_language():
    cuts = cuts_of({"en": 40, "xx": 15, "yy": 3})
    shares = [labelled_ids(cuts, fraction) for fraction in (0.05, 0.1, 0.5, 1.0)]
    assert all(less < more for less, more in itertools.pairwise(shares))
    counts = collections.Counter(name[:2] for name in shares[2])
    assert counts == {"en": 20, "xx": 8, "yy": 2}
    assert collections.Counter(name[:2] for name in shares[0]) == {"en": 2, "xx": 1, "yy": 1}
    assert shares[2] == labelled_ids(CutSet.from_cuts(reversed(list(cuts))), 0.5)


def test_speed_copies_go_with_their_utterance_and_are_no_hours_of_labels(caplog):
    cuts = cuts_of({"en": 20})
    with caplog.at_level("INFO"):
        kept = with_labels(cuts, 0.1)
    assert len(kept) == 4 and len({original_id(cut, cut.id) for cut in kept}) == 2
    assert sum(map(is_speed_perturbed, kept)) == 2 and all(language_of(cut) == "en" for cut in kept)
    assert label_hours(kept) == pytest.approx(2 / 3600)
    assert "the labels of 2 of 20 training utterances are used, 0.001 h (label_fraction 0.1)" in caplog.text


def test_all_of_them_are_untouched():
    cuts = cuts_of({"en": 2})
    assert FilterConfig().label_fraction == 1.0 and with_labels(cuts, 1.0) is cuts
    for fraction in (0.0, -1.0, 1.5):
        with pytest.raises(ValueError, match=f"label_fraction is {fraction}, expected a number above 0 and at most 1"):
            with_labels(cuts, fraction)
