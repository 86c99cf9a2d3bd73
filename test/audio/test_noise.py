"""Noise: the ratio is the one asked for when measured, colours have their slope, a cut's noise is its own."""

import gzip
import json

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording
from toy_corpus import RATE, make_cuts

from icefall_discrete.audio.noise import (
    COLOURS,
    Condition,
    NoiseConfig,
    NoiseSource,
    coloured_noise,
    condition_of,
    mix,
    sample_cuts,
)
from icefall_discrete.audio.reading import load_samples
from icefall_discrete.data.cuts import load_cuts, write_cuts
from icefall_discrete.extraction.noisy_cuts import noisy_manifest, write_noisy_set

KINDS = ("babble", "white", "pink", "brown")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    return make_cuts(tmp_path_factory.mktemp("training"), 9, seed=1, prefix="train-")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    cuts = make_cuts(folder, 5, seed=2, prefix="test-")
    inner = cuts[0].truncate(offset=0.1, duration=0.25, preserve_id=False).with_id("test-inner")
    inner.supervisions = [s.with_offset(0.0) for s in cuts[0].supervisions]
    return [*cuts, inner]


def power_db(samples):
    return 10 * np.log10(np.mean(np.square(samples)))


def noise_of(source, kind, cut):
    return source.noise(kind, cut.id, cut.num_samples, RATE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [20.0, 0.0, -10.0])
def test_ratio_measured_in_the_file_is_the_one_asked_for(kind, snr_db, clean, training, tmp_path):
    source = NoiseSource(NoiseConfig(kinds=KINDS), training)
    manifest = tmp_path / "toy_cuts_test.jsonl.gz"
    figures = write_noisy_set(clean, Condition(kind, snr_db), source, manifest, tmp_path / "audio", 2)
    noisy = load_cuts(noisy_manifest(manifest, Condition(kind, snr_db)))
    assert figures["num_cuts"] == len(noisy) == len(clean)
    for before, after in zip(clean, noisy):
        speech = load_samples(before, RATE).double().numpy() * after.gain
        mixed, rate = soundfile.read(after.recording.sources[0].source)
        assert rate == RATE and len(mixed) == len(speech)
        assert power_db(speech) - power_db(mixed - speech) == pytest.approx(snr_db, abs=0.01)
        # It is the noise of the source, and nothing else, that was added.
        added, noise = mixed - speech, noise_of(source, kind, before)
        assert np.corrcoef(added, noise)[0, 1] > 0.9999
        assert np.abs(mixed).max() <= 1.0


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_fall_by_their_slope_and_have_nothing_below_hearing(kind):
    noise = coloured_noise(30 * RATE, RATE, COLOURS[kind], np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    frequencies = np.fft.rfftfreq(len(noise), 1 / RATE)

    def octave_density(low):
        return 10 * np.log10(spectrum[(frequencies >= low) & (frequencies < 2 * low)].mean())

    falls = [octave_density(low) - octave_density(2 * low) for low in (60, 200, 800, 2000)]
    assert falls == pytest.approx([10 * np.log10(2) * COLOURS[kind]] * 4, abs=0.35)
    assert spectrum[frequencies < 19.9].max() < 1e-9 * spectrum.max()


def test_noise_depends_on_seed_kind_and_cut_but_not_on_order(clean, training):
    first, second = (NoiseSource(NoiseConfig(kinds=KINDS), training) for _ in range(2))
    forward = {(kind, cut.id): noise_of(first, kind, cut) for kind in KINDS for cut in clean}
    for kind in reversed(KINDS):
        for cut in reversed(clean):
            assert np.array_equal(noise_of(second, kind, cut), forward[kind, cut.id])
    other = NoiseSource(NoiseConfig(kinds=KINDS, seed=7), training)
    a, b = clean[:2]
    size = min(a.num_samples, b.num_samples)
    for kind in KINDS:
        assert abs(np.corrcoef(forward[kind, a.id][:size], forward[kind, b.id][:size])[0, 1]) < 0.9
        assert abs(np.corrcoef(forward[kind, a.id], noise_of(other, kind, a))[0, 1]) < 0.9


def test_babble_is_a_level_sum_of_as_many_talkers(tmp_path):
    """Talkers are constants 1, 2, 4, ... so that the sum of their levelled samples counts talkers."""
    cuts = []
    for number, level in enumerate((0.01, 0.1, 0.5)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.full(RATE // 2, level), RATE, subtype="FLOAT")
        cuts.append(Recording.from_file(path).to_cut())
    for talkers in (1, 4):
        source = NoiseSource(NoiseConfig(kinds=("babble",), num_talkers=talkers), cuts)
        assert source.noise("babble", "a", RATE, RATE) == pytest.approx(np.full(RATE, float(talkers)), rel=1e-5)


def test_recorded_noise_is_chosen_by_the_beginning_of_its_id(tmp_path):
    def cut(name, level):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.full(RATE, level), RATE, subtype="FLOAT")
        return MonoCut(name, 0.0, 1.0, 0, recording=Recording.from_file(path))

    recorded = [cut("music-1", -0.5), cut("noise-1", 0.5)]
    source = NoiseSource(NoiseConfig(kinds=("music", "noise", "recorded")), recorded=recorded)
    assert set(np.sign(source.noise("music", "a", RATE, RATE))) == {-1.0}
    assert set(np.sign(source.noise("noise", "a", RATE, RATE))) == {1.0}
    drawn = {np.sign(source.noise("recorded", name, 100, RATE)).mean() for name in "abcdefgh"}
    assert drawn == {-1.0, 1.0}


def test_what_would_clip_is_made_softer_with_its_noise():
    rng = np.random.default_rng(0)
    speech = 0.9 * np.sin(np.arange(RATE) / 7)
    mixture = mix(speech, rng.standard_normal(RATE), 3.0, RATE)
    assert mixture.gain < 0.8
    assert np.abs(mixture.samples.astype(int)).max() == 32767
    assert mixture.snr_db == pytest.approx(3.0, abs=0.01)
    quiet = mix(0.1 * speech, rng.standard_normal(RATE), 3.0, RATE)
    assert quiet.gain == 1.0


def test_silence_has_no_ratio():
    with pytest.raises(ValueError, match="the speech is silent"):
        mix(np.zeros(10), np.ones(10), 0.0, RATE)
    with pytest.raises(ValueError, match="the noise is silent"):
        mix(np.ones(10), np.zeros(10), 0.0, RATE)


def test_silent_sources_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    source = NoiseSource(NoiseConfig(kinds=("babble",)), [Recording.from_file(tmp_path / "a.wav").to_cut()])
    with pytest.raises(ValueError, match="cut utt: 20 draws of 'babble' noise were all silent"):
        source.noise("babble", "utt", 100, RATE)


def test_noisy_cuts_say_what_they_are(clean, training, tmp_path):
    condition = Condition("babble", 5.0)
    manifest = tmp_path / "toy_cuts_test.jsonl.gz"
    write_noisy_set(clean, condition, NoiseSource(NoiseConfig(), training), manifest, tmp_path / "audio", 1)
    noisy = load_cuts(tmp_path / "toy_cuts_test-babble-snr5.jsonl.gz")
    for before, after in zip(clean, noisy):
        assert after.id == after.recording_id == f"{before.id}_babble_snr5"
        assert (after.clean_id, after.noise, after.snr_db) == (before.id, "babble", 5.0)
        assert (after.start, after.duration, after.num_samples) == (0.0, before.duration, before.num_samples)
        assert [s.text for s in after.supervisions] == [s.text for s in before.supervisions]
        assert {s.recording_id for s in after.supervisions} == {after.id}
    CutSet.from_cuts(noisy).to_eager()


def files_in(folder):
    """All but the record of the audio that was read, which is the same whatever is made of it."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "audio.gz"]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in files_in(folder)}


def test_an_interrupted_set_goes_on_and_is_the_same(clean, training, tmp_path, monkeypatch):
    condition, source = Condition("babble", 0.0), NoiseSource(NoiseConfig(), training)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        write_cuts(folder / "toy_cuts_test.jsonl.gz", clean)

    def write(folder):
        return write_noisy_set(clean, condition, source, folder / "toy_cuts_test.jsonl.gz", folder / "audio", 1)

    write(whole)
    real, calls = NoiseSource.noise, []

    def failing(self, kind, cut_id, num_samples, rate):
        calls.append(cut_id)
        if len(calls) == 4:
            raise RuntimeError("killed")
        return real(self, kind, cut_id, num_samples, rate)

    monkeypatch.setattr(NoiseSource, "noise", failing)
    with pytest.raises(RuntimeError, match="killed"):
        write(broken)
    assert not (broken / "toy_cuts_test-babble-snr0.jsonl.gz").exists()
    failed = len(calls)
    write(broken)
    assert 0 < len(calls) - failed < len(clean)  # some were done before
    name = "toy_cuts_test-babble-snr0.jsonl.gz"
    moved = gzip.decompress((broken / name).read_bytes()).decode().replace(str(broken), str(whole))
    assert moved == gzip.decompress((whole / name).read_bytes()).decode()
    a, b = contents(whole / "audio"), contents(broken / "audio")
    assert a == b and len(a) == len(clean)


def test_done_sets_are_left_and_those_of_other_settings_are_made_anew(clean, training, tmp_path):
    manifest, condition = tmp_path / "toy_cuts_test.jsonl.gz", Condition("white", 10.0)

    def write(config):
        write_noisy_set(clean, condition, NoiseSource(config, training), manifest, tmp_path / "audio", 1)
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files_in(tmp_path)}

    first = write(NoiseConfig())
    assert write(NoiseConfig(num_talkers=3)) == first  # of babble only
    second = write(NoiseConfig(seed=7))
    assert second.keys() == first.keys()
    assert all(second[path][1] != first[path][1] for path in first)


def test_a_silent_cut_is_named(training, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    cut = Recording.from_file(tmp_path / "a.wav").to_cut().with_id("quiet")
    with pytest.raises(ValueError, match="cut quiet: the speech is silent"):
        write_noisy_set(
            [cut],
            Condition("white", 0.0),
            NoiseSource(NoiseConfig(kinds=("white",))),
            tmp_path / "c.jsonl.gz",
            tmp_path,
            1,
        )


def test_set_names_are_read_back():
    for condition in (Condition("babble", 20.0), Condition("white", -2.5), Condition("music", 0.0)):
        for split in ("test", "test-clean"):
            assert condition_of(condition.set_name(split), split) == condition
    for name in ("test", "test-other", "dev-babble-snr5", "test-babble-snrx"):
        assert condition_of(name, "test") is None
    assert condition_of("test-clean-babble-snr5", "test") is None


def test_sample_of_cuts_is_fair_and_repeatable():
    counts = np.zeros(10)
    for seed in range(600):
        kept = sample_cuts(iter(range(10)), 3, seed)
        assert len(set(kept)) == 3 and kept == sample_cuts(iter(range(10)), 3, seed)
        counts[kept] += 1
    assert counts == pytest.approx(np.full(10, 180.0), abs=50)
    assert sample_cuts(iter(range(2)), 3, 0) == [0, 1]


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ({"kinds": ()}, "at least one of each"),
        ({"kinds": ("White noise",)}, "kind of noise 'White noise'"),
        ({"num_talkers": 0}, "num_talkers is 0"),
    ],
)
def test_impossible_settings_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        NoiseConfig(**settings)


def test_a_kind_without_sources_is_refused(training):
    with pytest.raises(ValueError, match="noise 'babble' has no cuts"):
        NoiseSource(NoiseConfig(kinds=("babble",)))
    with pytest.raises(ValueError, match="ids begin with 'music-'"):
        NoiseSource(NoiseConfig(kinds=("music",)), training, training)


def test_figures_are_json(clean, training, tmp_path):
    manifest, condition = tmp_path / "toy_cuts_test.jsonl.gz", Condition("pink", 10.0)
    figures = write_noisy_set(clean, condition, NoiseSource(NoiseConfig(), training), manifest, tmp_path / "audio", 1)
    assert json.loads((tmp_path / "toy_cuts_test-pink-snr10.json").read_text()) == figures
    assert figures["snr_db_reached"] == pytest.approx([10.0, 10.0], abs=0.01)


@pytest.mark.parametrize("cut_id", ["../../outside", "/outside", "a\nb", "a" * 300, "a\0b"])
def test_a_cut_whose_id_would_leave_the_folder_is_refused_by_name(training, tmp_path, cut_id):
    cut = training[0].with_id(f"{tmp_path}{cut_id}" if cut_id.startswith("/") else cut_id)
    source = NoiseSource(NoiseConfig(kinds=("white",)))
    manifest = tmp_path / "data" / "toy_cuts_test.jsonl.gz"
    with pytest.raises(ValueError, match=r"the id of a noisy cut is .*cannot be a path below"):
        write_noisy_set([cut], Condition("white", 5), source, manifest, tmp_path / "data" / "audio", 1)
    assert not list(tmp_path.rglob("*.flac")) and not list(tmp_path.rglob("*.jsonl.gz"))
