"""FLAC files hold the samples that were given, whole; several channels are read as their mean."""

import numpy as np
import pytest
import soundfile

from icefall_discrete.audio.reading import UnreadableAudio, load_recording, open_recording
from icefall_discrete.audio.writing import holds_samples, write_flac

RATE = 16000


def test_samples_come_back_and_what_is_too_loud_is_clipped(tmp_path):
    path = tmp_path / "folder" / "a.flac"
    integers = np.array([0, 1, -1, 32767, -32768, 1234] * 100, np.int16)
    write_flac(path, integers, RATE)
    assert np.array_equal(soundfile.read(path, dtype="int16")[0], integers) and holds_samples(path, 600)
    write_flac(path, np.array([0.5, 1.7, -1.7, 2.0**-15] * 100, np.float32), RATE)
    assert soundfile.read(path, dtype="int16")[0][:4].tolist() == [16384, 32767, -32768, 1]


def test_files_that_are_short_damaged_or_missing_hold_nothing(tmp_path):
    path = tmp_path / "a.flac"
    assert not holds_samples(path, 0)
    write_flac(path, np.zeros(100, np.int16), RATE)
    assert not holds_samples(path, 101)
    path.write_bytes(b"no audio")
    assert not holds_samples(path, 100)


def test_a_recording_is_read_at_another_rate_as_one_channel_or_as_the_mean_of_all(tmp_path, speech):
    stereo = np.stack([speech.numpy(), 0.5 * np.roll(speech.numpy(), 7)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    recording = open_recording(tmp_path / "a.wav", "a")
    assert np.array_equal(load_recording(recording, RATE, 1).numpy(), stereo[:, 1])
    assert np.allclose(load_recording(recording, RATE).numpy(), stereo.mean(axis=1))
    assert len(load_recording(recording, 8000)) == recording.resample(8000).num_samples
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:1000])
    with pytest.raises(UnreadableAudio):
        load_recording(recording, RATE)
