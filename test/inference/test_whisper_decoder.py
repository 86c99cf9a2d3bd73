"""Whisper's own decoder: what it says on real speech, what it refuses, and the script that scores it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lhotse import CutSet, Recording, SupervisionSegment
from real_weights import real_weights

from icefall_discrete.inference.whisper_decoder import WhisperDecoder

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "please enter the number you wish to call"


@pytest.fixture(scope="module")
def decoder():
    pytest.importorskip("ctranslate2")
    real_weights("whisper_base")
    return WhisperDecoder("weights:whisper_base")


def test_it_says_what_is_said_and_refuses_what_it_cannot_hear(decoder, speech):
    said = decoder.text(speech, "en", "cut a")
    assert said.lower().rstrip(".") == PROMPT
    with pytest.raises(ValueError, match=r"cut b: the model has no language 'xx'; expected a code of ISO 639"):
        decoder.text(speech, "xx", "cut b")
    with pytest.raises(ValueError, match=r"cut c has 31.0 s, and Whisper hears 30 s at once; give shorter cuts"):
        decoder.text(torch.zeros(31 * 16000), "en", "cut c")


def test_the_script_makes_a_row_of_it(decoder, tmp_path):
    recording = Recording.from_file(ROOT / "test" / "assets" / "speech.flac")
    cut = recording.to_cut()
    cut.supervisions = [SupervisionSegment("a", recording.id, 0, cut.duration, text=f"{PROMPT} now", language="en")]
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl.gz")
    flags = ["--manifests", tmp_path / "cuts.jsonl.gz", "--splits", "test", "--exp-dir", tmp_path / "exp"]
    command = [sys.executable, ROOT / "local" / "decode_whisper.py", *flags, "--results-dir", tmp_path / "results"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "results" / "whisper_base_own_decoder_cpu.json").read_text())
    assert (row["sets"]["test"]["wer"]["errors"], row["sets"]["test"]["wer"]["deletions"]) == (1, 1)
    assert row["features"]["kind"] == "continuous"


def test_a_folder_of_transformers_is_refused(tmp_path):
    pytest.importorskip("ctranslate2")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is no CTranslate2 model \(no model.bin\)"):
        WhisperDecoder(str(tmp_path))
