import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment
from lhotse.array import Array, TemporalArray
from lhotse.testing.dummies import dummy_cut, dummy_recording

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import attach, is_speed_perturbed, text_of
from icefall_discrete.data.filters import FilterConfig, filter_cuts

SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 1, (500,), 0)


def cut(cut_id, frames, text, duration=None, language=None):
    duration = frames / 50 if duration is None else duration
    array = TemporalArray(Array("flat_archive", "x", f"0,{frames},1,int16", [frames, 1]), 0, 0.02, 0.0)
    supervision = SupervisionSegment(cut_id, "r", 0.0, duration, text=text, language=language)
    return attach(MonoCut(cut_id, 0.0, duration, 0, supervisions=[supervision]), array, SPEC)


def letters_of(one):
    return len(text_of(one))


def encoder_frames(frames):
    return ((frames - 7) // 2 + 1) // 2


def kept(cuts):
    filtered = filter_cuts(CutSet.from_cuts(cuts), FilterConfig(), SPEC, encoder_frames, letters_of)
    return [item.id for item in filtered.cuts], filtered.dropped


def test_exactly_the_cuts_with_fewer_encoder_frames_than_labels_are_dropped():
    cuts = [cut(f"{frames}-{labels}", frames, "x" * labels) for frames in range(20, 60) for labels in (5, 8, 11)]
    ids, dropped = kept(cuts)
    expected = [c.id for c in cuts if encoder_frames(int(c.id.split("-")[0])) >= int(c.id.split("-")[1])]
    assert ids == expected and 0 < len(ids) < len(cuts)
    assert dropped == {"fewer encoder frames than labels": len(cuts) - len(ids)}


def test_durations_at_the_bounds_are_kept_and_drops_are_counted_and_named(caplog):
    cuts = [cut("short", 14, "a"), cut("least", 15, "a"), cut("most", 1000, "a"), cut("long", 1001, "a")]
    with caplog.at_level("INFO"):
        ids, dropped = kept(cuts)
    assert ids == ["least", "most"]
    assert dropped == {"shorter than 0.3 s": 1, "longer than 20.0 s": 1}
    assert "dropped 1 of 4 cuts: longer than 20.0 s (such as long)" in caplog.text


def test_empty_text_names_the_cut_and_an_empty_result_is_an_error():
    with pytest.raises(ValueError, match="cut nothing: its text is empty"):
        kept([cut("nothing", 100, " ")])
    with pytest.raises(ValueError, match=r"all 1 validation \(dev\) cuts were dropped"):
        filter_cuts(
            CutSet.from_cuts([cut("a", 10, "much too long")]),
            *(FilterConfig(), SPEC, encoder_frames, letters_of, "validation (dev)"),
        )
    with pytest.raises(ValueError, match="all 1 cuts were dropped"):
        kept([cut("a", 30, "x" * 100)])


def test_a_recipe_may_leave_out_the_speed_perturbed_copies():
    plain = dummy_cut(0, duration=2.0, recording=dummy_recording(0, duration=2.0))
    cuts = [plain, plain.perturb_speed(0.9), plain.perturb_speed(1.1)]
    assert [is_speed_perturbed(item) for item in cuts] == [False, True, True]
    prepared = [cut("plain", 100, "a"), cut("copy", 100, "a")]
    prepared[1].recording = cuts[1].recording
    filtered = filter_cuts(
        CutSet.from_cuts(prepared), FilterConfig(use_speed_copies=False), SPEC, encoder_frames, letters_of
    )
    assert [item.id for item in filtered.cuts] == ["plain"]
    assert filtered.dropped == {"speed-perturbed copy, which the recipe does not use": 1}


def test_only_the_chosen_languages_are_kept_and_an_absent_one_is_an_error(caplog):
    cuts = CutSet.from_cuts(
        [cut(f"{name}-{n}", 100, "a", language=name) for n in range(2) for name in ("cy", "eu", "pl")]
    )
    with caplog.at_level("INFO"):
        filtered = filter_cuts(cuts, FilterConfig(languages=("eu", "cy")), SPEC, encoder_frames, letters_of)
    assert [item.id for item in filtered.cuts] == ["cy-0", "eu-0", "cy-1", "eu-1"]
    assert filtered.dropped == {} and "4 of 6 cuts are in the languages eu, cy" in caplog.text
    with pytest.raises(ValueError, match=r"no cut is in language de; there are: cy \(2\), eu \(2\), pl \(2\)"):
        filter_cuts(cuts, FilterConfig(languages=("de", "cy")), SPEC, encoder_frames, letters_of)
