"""Audio against audio: pairs of folders and of manifests, and what is refused in one sentence."""

import json

import numpy as np
import pytest
import soundfile
from toy_corpus import RATE, run_stage_script, write_manifest

from icefall_discrete.audio.reading import UnreadableAudio
from icefall_discrete.extraction.audio_figures import AudioSource, PairSettings, audio_scores

PLAIN = PairSettings(None, (), True)


@pytest.fixture
def folders(tmp_path):
    """A folder of two utterances, and one of the same, with noise."""
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        speech = generator.standard_normal(RATE // 2) * np.sin(np.arange(RATE // 2) / 800) * 0.1
        for folder, noise in (("original", 0.0), ("made", 0.01)):
            (tmp_path / folder / "deep").mkdir(parents=True, exist_ok=True)
            samples = speech + noise * generator.standard_normal(len(speech))
            soundfile.write(tmp_path / folder / "deep" / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return tmp_path


def test_folders_are_paired_by_names_and_manifests_by_ids(folders):
    output, details = folders / "out.json", folders / "each.jsonl"
    flags = ("--reference", folders / "original", "--estimate", folders / "made", "--output", output, "--judges", "")
    run_stage_script("measure_audio.py", *flags, "--details", details)
    result = json.loads(output.read_text())
    scored = result["sets"]["test"]
    assert scored["stoi"]["num_utterances"] == 2 and scored["si_sdr"]["value"] > 10 and result["num_unpaired"] == 0
    lines = [json.loads(line) for line in details.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["deep/a", "deep/b"]
    assert np.mean([line["mcd"] for line in lines]) == pytest.approx(scored["mcd"]["value"], abs=1e-3)
    manifest = AudioSource(write_manifest(folders, "dev", num_cuts=1))
    same, _ = audio_scores(manifest, manifest, PLAIN)
    assert same["mel_distance"]["value"] == 0.0 and same["si_sdr"]["value"] == 100.0


def test_what_cannot_be_measured_is_named(folders):
    original, made = folders / "original", folders / "made"
    samples, _ = soundfile.read(original / "deep" / "a.wav")
    soundfile.write(made / "deep" / "a.wav", samples[::2], RATE // 2)
    with pytest.raises(
        ValueError, match=r"deep/a: the reference has 16000 Hz, the estimate 8000 Hz; .*--sample-rate 8000"
    ):
        audio_scores(AudioSource(original), AudioSource(made), PLAIN)
    assert audio_scores(AudioSource(original), AudioSource(made), PLAIN._replace(sample_rate_hz=8000))[0]["stoi"]
    soundfile.write(made / "deep" / "a.wav", samples * np.nan, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="deep/a: the estimate: 8000 of 8000 samples are NaN or infinite"):
        audio_scores(AudioSource(original), AudioSource(made), PLAIN)
    (made / "deep" / "a.wav").write_bytes(b"")
    with pytest.raises(UnreadableAudio, match=r"a\.wav: the file is empty"):
        audio_scores(AudioSource(original), AudioSource(made), PLAIN)
    (made / "deep").rename(made / "deeper")
    with pytest.raises(ValueError, match=r"share no utterance .such as 'deep/a' and 'deeper/a'"):
        audio_scores(AudioSource(original), AudioSource(made), PLAIN)
    (folders / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no audio; expected a file for each utterance"):
        AudioSource(folders / "empty")
