"""Samples in memory give the text of their file; command, class and stage agree without a word on settings."""

import numpy as np
import pytest
import soundfile
import torch
import toy_corpus

from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.samples import as_samples
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.recogs import read_recogs
from icefall_discrete.systems.asr.transcription import Failure
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.tokenizers.contract import AudioRejected


@pytest.fixture(scope="module")
def transcriber(work):
    return Transcriber(work / "exp", run=RunConfig(device="cpu"))


def test_command_class_and_stage_use_the_recipe_that_is_kept(work, files, transcriber, console):
    choice, decode = kept_settings(work / "exp")
    assert (choice.avg, decode.decoding_method, decode.beam_size) == (1, "modified_beam_search", 2)
    by_class = {file.stem: found.text for file, found in zip(files, transcriber.transcribe(files))}
    flags = ("--exp-dir", work / "exp", "--feature-dir", work / "features", "--splits", "test", "--device", "cpu")
    toy_corpus.run_stage_script("decode.py", *flags)
    _, said, _ = console("transcribe", "--exp-dir", work / "exp", "--device", "cpu", *files)
    (recogs,) = (work / "exp" / "modified_beam_search").glob("recogs-test-*beam-size-2*.txt")
    by_stage = {one.cut_id: " ".join(one.hyp) for one in read_recogs(recogs)}
    by_command = [line.split("\t")[1] for line in said.splitlines()]
    assert by_class == by_stage and by_command == list(by_class.values()) and all(by_command)
    toy_corpus.run_stage_script("score.py", "--exp-dir", work / "exp")


def forms(file):
    """The samples of a 16-bit file as libraries give them."""
    ints, _ = soundfile.read(file, dtype="int16")
    floats, _ = soundfile.read(file, dtype="float32")
    backwards = floats[::-1].copy()[::-1]
    readonly = floats.copy()
    readonly.flags.writeable = False
    return {
        "float32": floats,
        "float64": floats.astype(np.float64),
        "big-endian": floats.astype(">f4"),
        "int16": ints,
        "int32": ints.astype(np.int32) * 2**16,
        "strided": backwards,
        "read-only": readonly,
        "column": floats[:, None],
        "row": torch.from_numpy(floats.copy())[None],
        "tensor": torch.from_numpy(floats.copy()),
        "tensor of integers": torch.from_numpy(ints.copy()),
    }


def test_all_forms_give_the_text_of_the_file(transcriber, files):
    (expected,) = transcriber.transcribe(files[0])
    given = forms(files[0])
    for name, samples in given.items():
        assert torch.equal(as_samples(samples, name), as_samples(given["float32"], "")), name
        found = transcriber.transcribe_samples(samples)
        assert (found.text, found.score, found.file) == (expected.text, expected.score, "audio"), name
    mixed = list(transcriber.transcribe([given["int16"], files[0], np.zeros((2, 800)), given["tensor"].tolist()]))
    assert [one.file for one in mixed] == ["samples 0", str(files[0]), "samples 2", "samples 3"]
    assert [one.text for one in mixed if not isinstance(one, Failure)] == [expected.text] * 3
    assert mixed[2].message == "samples 2: has the shape (2, 800); expected samples of one channel, (S,)."
    (alone,) = transcriber.transcribe(given["float64"])
    assert alone.text == expected.text and next(iter(transcriber.transcribe(str(files[0])))).text == expected.text


def test_full_scales():
    assert as_samples(np.array([-(2**15), 2**14], dtype=np.int16), "").tolist() == [-1.0, 0.5]
    assert as_samples(np.array([-(2**31), 2**30], dtype=np.int32), "").tolist() == [-1.0, 0.5]
    assert as_samples(np.array([0, 128, 192], dtype=np.uint8), "").tolist() == [-1.0, 0.0, 0.5]
    assert as_samples(torch.tensor([0.5], dtype=torch.bfloat16), "").dtype == torch.float32


@pytest.mark.parametrize(
    "given, message",
    [
        (np.array([1, 2]), "samples of type int64; expected floats in [-1, 1], or int16, int32, uint8"),
        (np.array([1, 2], dtype=np.uint16), "samples of type uint16"),
        (np.array([True]), "samples of type bool"),
        (np.array([1j]), "samples of type complex128"),
        (np.array([None]), "samples of type object"),
        (np.array(["a.wav"]), "samples of type"),
        (np.zeros((2, 100)), "has the shape (2, 100); expected samples of one channel"),
        (0.5, "has the shape ()"),
        ([[0.1], [0.1, 0.2]], "cannot be read as samples"),
        (None, "has the shape ()"),
    ],
)
def test_what_are_no_samples_is_one_sentence(given, message):
    with pytest.raises(BadAudio) as error:
        as_samples(given, "mine")
    assert str(error.value).startswith("mine: ") and message in str(error.value)


def test_samples_that_cannot_be_transcribed_are_named(transcriber, files):
    loud = soundfile.read(files[0], dtype="int16")[0].astype(np.float32)
    with pytest.raises(AudioRejected, match="Divide 16-bit samples by 32768"):
        transcriber.transcribe_samples(loud)
    with pytest.raises(BadAudio, match="audio: 1 of 16000 samples are NaN or infinite"):
        transcriber.transcribe_samples(np.array([1e300] + [0.0] * 15999))
    with pytest.raises(BadAudio, match=r"call: 0\.0000 s of audio is too short"):
        transcriber.transcribe_samples(np.zeros(0), "call")
    (found,) = transcriber.transcribe([loud])
    assert isinstance(found, Failure) and "Divide 16-bit samples" in found.message
