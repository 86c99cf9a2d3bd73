"""The stand-in's clips and files are what the tests of the recipes take them for."""

import numpy as np
import pytest
import soundfile
from stand_in import RATE, clips, joined, write_audio


def test_clips_are_the_same_for_the_same_seed():
    first, again, other = clips(5, seed=1), clips(5, seed=1), clips(5, seed=2)
    assert all(np.array_equal(a.samples, b.samples) and a.text == b.text for a, b in zip(first, again))
    assert any(a.text != b.text for a, b in zip(first, other))
    for clip in first:
        assert clip.samples.dtype == np.int16 and 0.5 <= clip.duration <= 4.0 and clip.text.strip()


def test_joined_tells_where_each_clip_lies():
    parts = clips(3)
    samples, times = joined(parts, gap_sec=0.25)
    for clip, (start, end) in zip(parts, times):
        assert np.array_equal(samples[round(start * RATE) : round(end * RATE)], clip.samples)
    assert len(samples) == sum(len(clip.samples) for clip in parts) + 4 * RATE // 4


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus"])
def test_audio_files_hold_the_clip(tmp_path, suffix):
    clip = clips(1)[0]
    path = tmp_path / "folder" / f"clip{suffix}"
    write_audio(path, clip.samples)
    read, rate = soundfile.read(path, dtype="int16")
    assert rate in (RATE, 48000)
    assert abs(len(read) / rate - clip.duration) < 0.1
    if suffix in (".wav", ".flac"):
        assert np.array_equal(read, clip.samples)
    else:
        loudness = np.sqrt(np.mean(np.square(read.astype(float)))) / np.sqrt(np.mean(np.square(clip.samples * 1.0)))
        assert 0.8 < loudness < 1.25
