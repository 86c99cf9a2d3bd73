"""Every rate in bounded memory; the ordinary ones as lhotse has them."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from icefall_discrete.audio.reading import load_samples, open_recording
from icefall_discrete.audio.resampling import MAX_TAPS, BoundedResample, BoundedSpeed, with_bounded_memory

LIMIT_MIB = 1200  # of a process that holds torch; lhotse's filters for one of these rates need gigabytes
READ = """
import pathlib, resource, sys
from icefall_discrete.audio.reading import load_samples, open_recording
cut = open_recording(pathlib.Path(sys.argv[1]), "a").to_cut()
for factor in (1.0, 0.9, 1.1):
    load_samples(cut.perturb_speed(factor) if factor != 1.0 else cut, 16000)
load_samples(cut.perturb_speed(0.9), cut.sampling_rate)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def write_tone(path, rate, seconds=0.5, hertz=440.0):
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return open_recording(path, "tone").to_cut()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000])
def test_ordinary_rates_are_as_lhotse_has_them(rate, tmp_path):
    cut = write_tone(tmp_path / "a.wav", rate).resample(16000)
    assert with_bounded_memory(cut.recording).transforms == cut.recording.transforms
    assert np.array_equal(load_samples(cut, 16000).numpy(), cut.load_audio()[0])
    fast = cut.perturb_speed(1.1)
    assert np.array_equal(load_samples(fast, 16000).numpy(), fast.load_audio()[0])


@pytest.mark.parametrize("rate", [11127, 15999, 16001, 44056, 47999])
def test_odd_rates_keep_the_tone(rate, tmp_path):
    cut = write_tone(tmp_path / "a.wav", rate)
    samples = load_samples(cut, 16000).numpy()
    expected = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(len(samples)) / 16000)
    assert abs(len(samples) - 8000) <= 1
    assert np.abs(samples - expected)[400:-400].max() < 0.01


def test_what_would_need_many_filters_is_bounded(tmp_path):
    cut = write_tone(tmp_path / "a.wav", 11127)
    steps = with_bounded_memory(cut.perturb_speed(0.9).resample(16000).recording).transforms
    assert [type(step) for step in steps][1:] == [BoundedResample]
    steps = with_bounded_memory(write_tone(tmp_path / "b.wav", 11025).perturb_speed(0.9).recording).transforms
    assert [type(step) for step in steps] == [BoundedSpeed] and MAX_TAPS < 11025 * 9922


def test_the_memory_of_a_process_is_bounded(tmp_path):
    write_tone(tmp_path / "a.wav", 15999)
    found = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "a.wav")], capture_output=True, text=True, timeout=120, check=True
    )
    assert int(found.stdout) < LIMIT_MIB
