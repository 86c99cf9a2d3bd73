"""Measures of reconstruction: full scores for equal signals, falling with noise, equal to those of others' code."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from icefall_discrete.audio.pitch import pitch
from icefall_discrete.audio.resampling import resampled
from icefall_discrete.metrics.facts import metric_named
from icefall_discrete.metrics.reconstruction import ReconstructionFigures, present_judges, reconstruction
from icefall_discrete.metrics.signals import judges
from icefall_discrete.metrics.signals.judges import dnsmos, judge_versions, missing_packages, pesq
from icefall_discrete.metrics.signals.pairs import aligned
from icefall_discrete.metrics.signals.pitch_errors import pitch_errors
from icefall_discrete.metrics.signals.spectra import mel_distance, stft_distance
from icefall_discrete.metrics.signals.stoi import stoi

ASSETS = Path(__file__).resolve().parents[1] / "assets"
GOLDEN = json.loads((ASSETS / "reconstruction_golden.json").read_text())
SPEECH, RATE = soundfile.read(ASSETS / "speech.flac")


SHORT = slice(6000, 18000)


def noisy(snr_db: float) -> np.ndarray:
    """The speech with white noise at a ratio of power in dB."""
    noise = np.random.default_rng(0).standard_normal(len(SPEECH))
    return SPEECH + noise * np.sqrt((SPEECH**2).mean() / (noise**2).mean()) * 10.0 ** (-snr_db / 20)


def test_equal_signals_have_full_scores_and_noise_takes_them_away():
    same = reconstruction(SPEECH[SHORT], SPEECH[SHORT], RATE)
    assert same == {
        **dict.fromkeys(("mel_distance", "stft_distance", "mcd", "gpe", "vde", "ffe", "lag_ms"), 0.0),
        "stoi": pytest.approx(1.0),
        "si_sdr": 100.0,
    }
    found = [reconstruction(SPEECH[SHORT], noisy(snr_db)[SHORT], RATE) for snr_db in (30.0, 0.0)]
    for name, full in same.items():
        if name not in ("lag_ms", "gpe"):
            towards = 1.0 if metric_named(name).higher_is_better else -1.0
            assert towards * full > towards * found[0][name] or name in ("vde", "ffe"), name
            assert towards * found[0][name] > towards * found[1][name], name
    assert found[0]["si_sdr"] == pytest.approx(31.2, abs=0.1)  # the part is louder than the whole


def test_a_signal_that_comes_late_or_early_is_brought_back():
    late = np.concatenate([np.zeros(123), SPEECH])[: len(SPEECH)]
    for reference, estimate, lag in ((SPEECH, late, 123), (late, SPEECH, -123)):
        pair = aligned(reference, estimate, RATE)
        assert round(pair.lag_sec * RATE) == lag and len(pair.reference) == len(SPEECH) - 123
        assert np.array_equal(pair.reference, pair.estimate)


@pytest.mark.parametrize("snr_db", [20, 5])
def test_figures_are_those_of_other_code(snr_db):
    golden = GOLDEN[f"{snr_db} dB"]
    pair = aligned(SPEECH, noisy(snr_db), RATE, max_lag_sec=0.0)
    assert mel_distance(pair) == pytest.approx(golden["mel_distance"], rel=1e-5)
    assert stft_distance(pair) == pytest.approx(golden["stft_distance"], rel=1e-5)
    at_10_khz = aligned(*(resampled(one, RATE, 10000) for one in (pair.reference, pair.estimate)), 10000, 0.0)
    assert stoi(at_10_khz) == pytest.approx(golden["stoi_10_khz"], abs=1e-9)
    assert stoi(pair) == pytest.approx(golden["stoi"], abs=2e-3)


def test_pitch_is_that_of_praat():
    praat = np.asarray(GOLDEN["praat"]["f0_hz"])
    begin, found = GOLDEN["praat"]["begin_sec"], pitch(SPEECH, RATE)
    ours = found[np.rint((begin + 0.01 * np.arange(len(praat))) / 0.01).astype(int)]
    both = (ours > 0) & (praat > 0)
    assert both.sum() > 80 and ((ours > 0) != (praat > 0)).mean() < 0.05
    assert np.median(np.abs(ours[both] / praat[both] - 1)) < 0.01
    assert pitch_errors(praat, ours).gross < 3.0


def test_pitch_of_tones_and_of_none():
    seconds = np.arange(RATE // 2) / RATE
    for hz in (75.0, 220.0, 480.0):
        tone = sum(np.sin(2 * np.pi * hz * k * seconds) / k for k in (1, 2, 3))
        assert np.abs(pitch(tone, RATE)[8:-8] / hz - 1).max() < 0.01
    assert not pitch(np.zeros(1000), RATE).any()
    assert (pitch(np.random.default_rng(0).standard_normal(RATE // 2), RATE) > 0).mean() < 0.2


def test_pitch_errors_count_what_their_names_say():
    reference = np.array([100.0, 100.0, 100.0, 100.0, 0.0, 0.0, 0.0, 0.0])
    estimate = np.array([100.0, 119.0, 130.0, 0.0, 90.0, 0.0, 0.0, 0.0, 50.0])
    assert pitch_errors(reference, estimate) == (pytest.approx(100 / 3), 25.0, 37.5)
    assert pitch_errors(np.zeros(3), estimate).gross is None
    with pytest.raises(ValueError, match="no frames in common"):
        pitch_errors(np.zeros(0), estimate)


def test_speech_of_another_pace_is_measured_by_what_needs_no_common_time():
    slower = np.interp(np.arange(0, len(SPEECH), 0.7), np.arange(len(SPEECH)), SPEECH)
    with pytest.raises(ValueError, match=r"the estimate lasts .* s, the reference .* s: expected the same utterance"):
        reconstruction(SPEECH, slower, RATE)
    assert list(reconstruction(SPEECH, slower, RATE, same_pace=False)) == ["mcd"]


@pytest.mark.parametrize(
    ("reference", "estimate", "sentence"),
    [
        ([], SPEECH, "the reference holds no samples"),
        (SPEECH, [], "the estimate holds no samples"),
        (np.zeros(9), np.ones(9), "the reference is silent: all of its 9 samples are 0"),
        (SPEECH, SPEECH * np.nan, f"the estimate: {len(SPEECH)} of {len(SPEECH)} samples are NaN or infinite"),
        (SPEECH[None], SPEECH, "the reference has the shape"),
    ],
)
def test_audio_that_cannot_be_measured_is_named(reference, estimate, sentence):
    with pytest.raises(ValueError, match=sentence):
        reconstruction(reference, estimate, RATE)


def test_a_set_has_means_and_intervals_and_counts_what_has_a_value():
    figures = ReconstructionFigures()
    figures.add({"stoi": 0.5, "gpe": None, "dwer": 10.0})
    figures.add({"stoi": 0.7, "gpe": None, "dwer": 20.0})
    scores = figures.scores()
    assert scores["stoi"]["value"] == 0.6 and scores["stoi"]["interval"][0] < 0.6 < scores["stoi"]["interval"][1]
    assert scores["dwer"]["rate"] == 15.0 and scores["gpe"] == {"rate": None, "interval": None, "num_utterances": 0}


@pytest.mark.parametrize("judge", ["pesq", "dnsmos"])
def test_judges_give_their_recorded_figures_or_say_what_is_missing(judge):
    pair = aligned(SPEECH, noisy(5), RATE, max_lag_sec=0.0)
    # As speechmos hears it: repeated to once, twice, four times, eight times its length.
    repeated = np.tile(pair.estimate, 8)
    measured = (lambda: pesq(pair)) if judge == "pesq" else (lambda: dnsmos(repeated, RATE))
    if judge not in present_judges():
        with pytest.raises(
            ImportError, match=rf"{judge} needs .*{missing_packages(judge)[0]}.*icefall-discrete\[metrics"
        ):
            measured()
        return
    assert measured() == pytest.approx(GOLDEN["5 dB"][judge], abs=0.02 if judge == "pesq" else 1e-3)
    if judge == "dnsmos":  # short audio fills one window
        assert dnsmos(pair.estimate, RATE) == pytest.approx(measured(), abs=0.1)
        assert dnsmos(pair.estimate, RATE) == dnsmos(np.tile(pair.estimate, 8)[:144160], RATE)


def test_a_judge_whose_package_tells_no_version_judges_all_the_same(monkeypatch):
    monkeypatch.setattr(judges, "PACKAGES", {"pesq": ("numpy",), "dnsmos": ("a_folder_alone",)})
    assert judge_versions(["pesq", "dnsmos"]) == {"numpy": np.__version__, "a_folder_alone": "not known"}


def test_an_unknown_judge_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown judge 'nisqa'; known: pesq, dnsmos"):
        reconstruction(SPEECH, SPEECH, RATE, judges=["nisqa"])
