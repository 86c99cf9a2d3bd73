"""Speech is found between silences, and what is cut keeps its ids and its words."""

import numpy as np
import pytest
import torch
from toy_corpus import make_cuts

from icefall_discrete.audio.reading import load_samples
from icefall_discrete.audio.voice_activity import VoiceActivityConfig, speech_parts
from icefall_discrete.data.cuts import load_audio_cuts
from icefall_discrete.extraction.voiced_cuts import write_voiced

RATE = 16000


def sound(*parts):
    """Tones and silences with a little noise: pairs of seconds and amplitude."""
    generator = np.random.default_rng(0)
    rows = [amplitude * np.sin(np.arange(round(sec * RATE)) * 0.2) for sec, amplitude in parts]
    samples = np.concatenate(rows)
    return torch.from_numpy(samples + 1e-4 * generator.standard_normal(len(samples))).float()


def test_speech_is_found_with_its_short_pauses():
    config = VoiceActivityConfig(margin_sec=0.0)
    samples = sound((0.5, 0), (0.4, 0.3), (0.06, 0), (0.3, 0.2), (0.5, 0), (0.02, 0.3), (0.4, 0), (0.3, 0.1), (0.2, 0))
    found = [(start / RATE, end / RATE) for start, end in speech_parts(samples, RATE, config)]
    assert np.allclose(found, [(0.5, 1.26), (2.18, 2.48)], atol=0.03)
    wide = speech_parts(samples, RATE, VoiceActivityConfig(margin_sec=0.6))
    assert wide == [(0, len(samples))]
    assert speech_parts(torch.zeros(RATE), RATE, config) == [] and speech_parts(torch.zeros(0), RATE, config) == []
    any_length = VoiceActivityConfig(margin_sec=0.0, min_speech_sec=0.0)
    assert speech_parts(samples[8000:8100], RATE, any_length) == [(0, 100)]  # less than a window


def test_cuts_keep_their_ids_and_words_and_a_rerun_leaves_them(tmp_path):
    cuts = make_cuts(tmp_path / "audio", 3)
    manifest, folder = tmp_path / "v" / "toy_cuts_train.jsonl.gz", tmp_path / "v" / "train"
    figures = write_voiced(cuts, VoiceActivityConfig(), manifest, folder)
    voiced = list(load_audio_cuts(manifest))
    assert [cut.id for cut in voiced] == [cut.id for cut in cuts] and figures["silent"] == []
    assert [cut.supervisions[0].text for cut in voiced] == [cut.supervisions[0].text for cut in cuts]
    assert all(len(load_samples(cut, RATE)) == cut.num_samples for cut in voiced)
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*.flac")}
    write_voiced(cuts, VoiceActivityConfig(), manifest, folder)
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("*.flac")}
    with pytest.raises(ValueError, match=r"train holds audio made with other range_db.*choose another --audio-dir"):
        write_voiced(cuts, VoiceActivityConfig(range_db=20.0), manifest, folder)
