import dataclasses

import numpy as np
import pytest
import soundfile
import torch
from lhotse import MonoCut, MultiCut, Recording
from toy_corpus import RATE, make_cuts

from icefall_discrete.audio.reading import UnreadableAudio, load_finite, load_samples


@pytest.fixture
def cut(tmp_path):
    return make_cuts(tmp_path, 1)[0]


@pytest.fixture
def path(cut, tmp_path):
    return tmp_path / "utt000.wav"


def test_samples_are_those_of_the_file(cut, path):
    expected, _ = soundfile.read(path, dtype="float32")
    samples = load_samples(cut, RATE)
    assert samples.dtype == torch.float32
    np.testing.assert_array_equal(samples.numpy(), expected)
    part = dataclasses.replace(cut, start=0.1, duration=0.2)
    np.testing.assert_array_equal(load_samples(part, RATE).numpy(), expected[1600:4800])


def test_speed_and_rate(cut):
    for factor in (0.9, 1.1):
        assert len(load_samples(cut.perturb_speed(factor), RATE)) == pytest.approx(cut.num_samples / factor, abs=1)
    assert len(load_samples(cut, 8000)) == pytest.approx(cut.num_samples / 2, abs=1)


def test_a_missing_truncated_or_strange_file_is_one_sentence(cut, path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableAudio, match=r"^cut utt000: cannot read .*utt000\.wav: it holds less or more audio"):
        load_samples(cut, RATE)
    path.write_bytes(b"this is not audio")
    with pytest.raises(UnreadableAudio, match=r"^cut utt000: cannot read .*utt000\.wav: .*Format not recognised\.?$"):
        load_samples(cut, RATE)
    path.unlink()
    with pytest.raises(UnreadableAudio, match=r"^cut utt000: cannot read .*utt000\.wav: the file does not exist$"):
        load_samples(cut, RATE)


def test_a_truncated_flac_is_not_silently_shorter(cut, tmp_path):
    samples = load_samples(cut, RATE).numpy()
    soundfile.write(tmp_path / "x.flac", samples, RATE)
    lossless = dataclasses.replace(cut, recording=Recording.from_file(tmp_path / "x.flac"))
    np.testing.assert_array_equal(load_samples(lossless, RATE).numpy(), samples)
    data = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableAudio, match=r"^cut utt000: cannot read .*x\.flac: "):
        load_samples(lossless, RATE)


def test_a_cut_outside_of_its_recording_is_named(cut):
    for changes in ({"start": -0.5}, {"start": 0.2}, {"duration": cut.duration + 0.2}):
        outside = dataclasses.replace(cut, **changes)
        with pytest.raises(
            UnreadableAudio, match=r"^cut utt000: goes from .* to .* s, but its recording, .*utt000\.wav"
        ):
            load_samples(outside, RATE)
    assert len(load_samples(dataclasses.replace(cut, duration=cut.duration + 0.01), RATE)) > 0


def test_samples_that_are_not_finite_are_named(cut, path):
    samples, _ = soundfile.read(path, dtype="float32")
    samples[7:9] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    with pytest.raises(UnreadableAudio, match=r"^cut utt000: 2 of \d+ samples of .*utt000\.wav are NaN or infinite$"):
        load_finite(cut, RATE)


def test_one_of_several_channels_is_not_taken_for_all(tmp_path):
    path = tmp_path / "two.wav"
    soundfile.write(path, np.stack([np.zeros(16000), 0.5 * np.ones(16000)], axis=1), 16000)
    recording = Recording.from_file(path)
    both = MultiCut("both", 0.0, 1.0, [0, 1], recording=recording)
    with pytest.raises(UnreadableAudio, match=r"cut both: has the channels \[0, 1\] of .*two.wav; choose one"):
        load_samples(both, 16000)
    assert float(load_samples(MonoCut("one", 0.0, 1.0, 1, recording=recording), 16000).mean()) > 0.4
