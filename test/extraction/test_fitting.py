import hashlib
import json
import random

import numpy as np
import pytest
import torch
from toy_corpus import ToyTokenizer, make_cuts, make_tokenizer
from watched_cuts import WatchedCuts

from icefall_discrete.data.cuts import load_audio_cuts, write_cuts
from icefall_discrete.data.cuts_on_disk import CutsOnDisk, Selected
from icefall_discrete.extraction.choosing import choose_cuts, survey
from icefall_discrete.extraction.fitting import AudioOfCuts, fit_tokenizer


class Fitted(ToyTokenizer):
    """A tokenizer whose state is the ids that it was fitted on."""

    needs_fit = True

    @property
    def is_fitted(self):
        return (self.state_dir / "state.txt").exists()

    def fit(self, audio, state_dir, seed):
        (state_dir / "state.txt").write_text("\n".join(cut_id for _, cut_id in audio))


@pytest.fixture
def cuts(tmp_path):
    return make_cuts(tmp_path / "audio", 12)


def fitted_on(folder):
    return (folder / "state.txt").read_text().splitlines()


def chosen(cuts, max_hours, seed):
    return list(choose_cuts(cuts, survey(cuts).seconds, max_hours, seed))


def chosen_of_a_list(cuts, max_hours, seed):
    """The same, said with all cuts in memory."""
    cuts, kept, seconds = list(cuts), [], 0.0
    random.Random(seed).shuffle(cuts)
    for cut in cuts:
        if max_hours > 0 and kept and seconds + cut.duration > 3600 * max_hours:
            break
        kept.append(cut)
        seconds += cut.duration
    return kept


def test_a_subset_is_seeded_bounded_and_independent_of_nothing_else(cuts):
    hours = sum(cut.duration for cut in cuts) / 2 / 3600
    some = chosen(cuts, hours, 1)
    assert 0 < len(some) < 12 and sum(cut.duration for cut in some) <= hours * 3600
    assert [cut.id for cut in some] == [cut.id for cut in chosen(cuts, hours, 1)]
    assert {cut.id for cut in chosen(cuts, 0.0, 1)} == {cut.id for cut in cuts}
    assert [cut.id for cut in chosen(cuts, 0.0, 1)] != [cut.id for cut in chosen(cuts, 0.0, 2)]
    named = cuts[0].with_id("meeting0_sp2")  # ids of what was recorded may end so
    assert chosen([named], 0.0, 1) == [named]
    with pytest.raises(ValueError, match=r"cut utt000_sp0\.9: is speed-perturbed"):
        chosen([cuts[0].perturb_speed(0.9)], 0.0, 1)


@pytest.mark.parametrize("hours", [0.0, 4.0 / 3600, 1.0])
def test_a_manifest_that_is_read_several_times_gives_the_cuts_of_a_list_in_its_order(cuts, tmp_path, hours):
    write_cuts(tmp_path / "toy_cuts_train.jsonl.gz", cuts)
    read = load_audio_cuts(tmp_path / "toy_cuts_train.jsonl.gz", lazy=True, distinct=True)
    watched = WatchedCuts(lambda: read)
    assert chosen(watched, hours, 5) == chosen(cuts, hours, 5) == chosen_of_a_list(cuts, hours, 5)
    assert watched.readings == 2 and watched.most <= 4
    lines = [f"{cut.id} {cut.start} {cut.duration}\nen\n" for cut in sorted(cuts, key=lambda cut: cut.id)]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert {survey(order, by_language=True).digest for order in (read, cuts, cuts[::-1])} == {digest}
    folders = [tmp_path / "streamed", tmp_path / "held"]
    for folder, given in zip(folders, (read, cuts)):
        assert fit_tokenizer(Fitted("toy", make_tokenizer().config, folder), given, folder, 5, hours)
    for name in ("state.txt", "fit.json", "fit.audio.gz"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert fitted_on(folders[0]) == [cut.id for cut in chosen_of_a_list(cuts, hours, 5)]


def test_cuts_that_change_between_two_readings_are_refused(cuts):
    seconds = survey(cuts).seconds
    for others in (cuts[:-1], [*cuts, cuts[0]], [cuts[1], cuts[0], *cuts[2:]]):
        with pytest.raises(ValueError, match="the cuts were changed while they were read; rerun the same command"):
            choose_cuts(iter(others), seconds, 0.0, 1)


def test_cuts_on_disk_are_those_that_were_given(cuts):
    cuts[1].supervisions[0].text = "\ud800 \n\u2028 \N{SNOWMAN}"
    some = Selected(CutsOnDisk(iter(cuts)), np.array([3, 1, 3]))
    assert list(some) == [cuts[3], cuts[1], cuts[3]] and len(some) == 3


def test_fit_once_then_nothing_then_refuse_other_inputs(cuts, tmp_path, caplog):
    tokenizer = Fitted("toy", make_tokenizer().config, tmp_path / "state")
    assert fit_tokenizer(tokenizer, cuts, tmp_path / "state", seed=3)
    assert sorted(fitted_on(tmp_path / "state")) == [cut.id for cut in cuts]
    with caplog.at_level("INFO"):
        assert not fit_tokenizer(tokenizer, cuts[::-1], tmp_path / "state", seed=3)
    assert "is fitted already" in caplog.text
    with pytest.raises(ValueError, match=r"'toy' in .* was fitted with other seed \(was 3, is 4\); rerun with what"):
        fit_tokenizer(tokenizer, cuts, tmp_path / "state", seed=4)
    with pytest.raises(ValueError, match=r"fitted with other cuts, num_cuts"):
        fit_tokenizer(tokenizer, cuts[1:], tmp_path / "state", seed=3)


def test_centroids_from_elsewhere_are_taken_as_they_are(cuts, tmp_path):
    (tmp_path / "state.txt").write_text("published")
    assert not fit_tokenizer(Fitted("toy", make_tokenizer().config, tmp_path), cuts, tmp_path, seed=3)
    assert fitted_on(tmp_path) == ["published"]


def test_unreadable_audio_is_left_out_and_named(cuts, tmp_path, caplog):
    (tmp_path / "audio" / "utt004.wav").unlink()
    given = list(AudioOfCuts(cuts, 16000))
    assert len(given) == 11 and "utt004" not in [cut_id for _, cut_id in given]
    assert "left out of the fit: cut utt004" in caplog.text
    samples, _ = given[0]
    assert samples.dtype == torch.float32 and samples.shape == (cuts[0].num_samples,)


def test_what_could_not_be_read_is_counted_bounded_and_fitted_anew_when_it_can(cuts, tmp_path, caplog):
    class WithState(Fitted):
        @property
        def state_files(self):
            return [self.state_dir / "state.txt"]

    state, audio = tmp_path / "state", tmp_path / "audio"
    for name in ("utt004", "utt007"):
        (audio / f"{name}.wav").rename(audio / f"{name}.away")
    tokenizer = WithState("toy", make_tokenizer().config, state)
    with pytest.raises(ValueError, match=r"2 of 12 cuts cannot be read, more than .* allows \(1\); the first: cut utt"):
        fit_tokenizer(tokenizer, cuts, state, 3, max_unreadable_fraction=0.1)
    assert not tokenizer.is_fitted
    assert fit_tokenizer(tokenizer, cuts, state, 3, max_unreadable_fraction=0.2)
    noted = json.loads((state / "fit.json").read_text())["noted"]
    assert noted == {"num_cuts_read": 10, "unreadable": ["utt004", "utt007"]} and len(fitted_on(state)) == 10
    assert not fit_tokenizer(tokenizer, cuts, state, 3, max_unreadable_fraction=0.2)
    (audio / "utt004.away").rename(audio / "utt004.wav")
    assert fit_tokenizer(tokenizer, cuts, state, 3, max_unreadable_fraction=0.1)
    assert "cut utt004 can be read now" in caplog.text and len(fitted_on(state)) == 11
    (before,) = state.glob("state.txt.before-*")
    assert len(before.read_text().splitlines()) == 10


def test_a_record_of_before_counts(cuts, tmp_path):
    tokenizer = Fitted("toy", make_tokenizer().config, tmp_path)
    fit_tokenizer(tokenizer, cuts, tmp_path, seed=3)
    made = json.loads((tmp_path / "fit.json").read_text())
    (tmp_path / "fit.json").write_text(json.dumps({**made["inputs"], **made["settings"]}))
    assert not fit_tokenizer(tokenizer, cuts, tmp_path, seed=3)
    with pytest.raises(ValueError, match="was fitted with other seed"):
        fit_tokenizer(tokenizer, cuts, tmp_path, seed=4)
    (tmp_path / "fit.json").write_text("[]")
    with pytest.raises(ValueError, match=r"fit\.json should say .* a list"):
        fit_tokenizer(tokenizer, cuts, tmp_path, seed=3)


def test_a_tokenizer_without_fit_is_skipped(cuts, tmp_path, caplog):
    with caplog.at_level("INFO"):
        assert not fit_tokenizer(make_tokenizer(), cuts, tmp_path / "out", seed=1)
    assert "needs no fitting" in caplog.text and not (tmp_path / "out").exists()
