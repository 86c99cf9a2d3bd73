"""Codes to audio and audio to audio: classes and commands, long audio, voices, and what they refuse."""

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from toy_codecs import soundstream
from toy_speech import FRAME, RATE, SIZE, SPEC, make_experiment, write_speech

from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.experiment.transcription_files import save_tokenizer
from icefall_discrete.inference import resynthesis_command, synthesis_command
from icefall_discrete.inference.audio_files import AudioConfig, BadAudio
from icefall_discrete.inference.speaker import Resynthesiser, Speaker
from icefall_discrete.systems.vocoder.synthesis import SynthesisConfig
from icefall_discrete.tokenizers import load_tokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Toy speech, a vocoder of its codes in V, one of dMel's in D with the tokenizer."""
    folder = write_speech(tmp_path_factory.mktemp("speaker"), num_train=4)
    make_experiment(folder / "V", SPEC)
    (folder / "small_dmel.json").write_text(json.dumps({"tokenizer": "dmel", "num_mel_bins": 8}))
    tokenizer = load_tokenizer(folder / "small_dmel.json")
    make_experiment(folder / "D", tokenizer.spec)
    save_tokenizer(tokenizer, folder / "D")
    return folder


@pytest.fixture(scope="module")
def speaker(corpus):
    return Speaker(corpus / "V")


def some_codes(num_frames=12):
    return torch.arange(num_frames)[:, None] % SIZE


def test_a_class_says_codes(speaker):
    codes = some_codes()
    said = speaker.say(codes, "otto")
    assert said.shape == (12 * FRAME,) and said.isfinite().all()
    assert not torch.equal(said, speaker.say(codes, "anna")) and not torch.equal(said, speaker.say(codes))
    with pytest.raises(ValueError, match="unknown speaker 'nobody'; known: anna, otto"):
        speaker.say(codes, "nobody")
    with pytest.raises(ValueError, match="codes: this vocoder does not predict durations"):
        speaker.say_units(codes)
    assert torch.equal(speaker.say_units(codes, "otto", durations=torch.ones(12)), said)


def test_windows_are_no_more_than_a_setting(corpus, speaker):
    codes = some_codes(40)
    short = Speaker(corpus / "V", synthesis=SynthesisConfig(window_sec=0.1)).say(codes, "otto")
    torch.testing.assert_close(short, speaker.say(codes, "otto"), atol=1e-6, rtol=0)


def test_the_command_says_arrays_and_manifests(corpus, tmp_path, capsys, speaker):
    codes = some_codes()
    np.save(tmp_path / "one.npy", codes.numpy().astype(np.int16))
    np.save(tmp_path / "flat.npy", codes[:, 0].numpy())
    manifest = corpus / "features" / "test.jsonl.gz"
    arguments = [
        "--exp-dir",
        corpus / "V",
        "--out",
        tmp_path / "out",
        tmp_path / "one.npy",
        tmp_path / "flat.npy",
        manifest,
    ]
    synthesis_command.main("synthesise", [*map(str, arguments)])
    printed = capsys.readouterr().out.split()
    assert printed == [str(tmp_path / "out" / f"{name}.flac") for name in ("one", "flat", "test-0", "test-1")]
    heard, rate = soundfile.read(printed[0], dtype="float32")
    assert rate == RATE and np.abs(heard - speaker.say(codes).numpy()).max() < 1e-4
    assert np.array_equal(heard, soundfile.read(printed[1], dtype="float32")[0])
    for cut, path in zip(load_feature_cuts(manifest)[0], printed[2:]):
        assert soundfile.info(path).frames == cut.num_samples
    synthesis_command.main("synthesise", [*map(str, arguments[:5]), "--speaker", "otto"])
    assert not np.array_equal(heard, soundfile.read(printed[0], dtype="float32")[0])


def test_codes_of_another_kind_are_told(corpus, tmp_path, speaker):
    np.save(tmp_path / "wide.npy", np.zeros((3, 2), dtype=np.int64))
    np.save(tmp_path / "none.npy", np.zeros((0, 1), dtype=np.int64))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object))
    with open(tmp_path / "huge.npy", "wb") as stream:
        header = {"descr": "<i8", "fortran_order": False, "shape": (10**13,)}
        np.lib.format.write_array_header_1_0(stream, header)
    (tmp_path / "bad.npy").write_bytes(b"no array")
    np.savez(tmp_path / "several.npz", codes=np.zeros((3, 1), dtype=np.int64))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    for name, sentence in {
        "wide.npy": "codes of shape (3, 2), expected (frames, 1)",
        "none.npy": "there are no codes",
        "text.npy": "expected numbers",
        "bad.npy": "cannot be read as an array (it holds more than data)",
        "object.npy": "cannot be read as an array",
        "huge.npy": "cannot be read as an array",
        "several.npy": "holds several arrays, as numpy.savez writes them, expected one",
        "codes.txt": "expected codes as an array, .npy, or a manifest",
    }.items():
        with pytest.raises(ValueError) as caught:
            list(speaker.say_file(tmp_path / name))
        assert sentence in str(caught.value) and name in str(caught.value)
        assert "allow_pickle" not in str(caught.value), "nobody is told to trust a file"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        list(speaker.say_file(tmp_path / "absent.npy"))
    other = write_speech(tmp_path / "other", dataclasses.replace(SPEC, name="others"), 2)
    with pytest.raises(ValueError, match="others"):
        list(speaker.say_file(other / "features" / "test.jsonl.gz"))


def test_what_cannot_be_said_is_told_and_the_others_are_said(corpus, tmp_path, capsys, caplog):
    given = ["--exp-dir", str(corpus / "V"), "--out", str(tmp_path / "out")]
    for name, codes in (("wide.npy", np.zeros((3, 2), int)), ("good.npy", some_codes().numpy())):
        np.save(tmp_path / name, codes)
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b" / "good.npy", some_codes().numpy())
    names = ("wide.npy", "absent.npy", "good.npy", "b/good.npy")
    with pytest.raises(SystemExit):
        synthesis_command.main("synthesise", [*given, *(str(tmp_path / name) for name in names)])
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / "good.flac")]
    for sentence in ("expected (frames, 1)", "absent.npy does not exist", "two inputs would be written as", "3 of 4"):
        assert sentence in caplog.text


def test_a_recording_is_not_overwritten_by_what_is_said_of_it(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.flac", np.zeros(16000), 16000)
    before = Path("a.flac").read_bytes()
    for command, out, sentence in (
        ("resynthesise", ".", "a.flac is read, and would be overwritten by what is made of it; give another --out"),
        ("resynthesise", "a.flac", "--out a.flac: a.flac is a file, expected a folder"),
        ("resynthesise", "a.flac/b", "--out a.flac/b: a.flac is a file, expected a folder"),
    ):
        with pytest.raises(ValueError, match=sentence):
            resynthesis_command.main(command, ["--exp-dir", str(corpus / "D"), "a.flac", "--out", out])
    assert Path("a.flac").read_bytes() == before


def test_audio_comes_back_as_long_as_it_was(corpus, tmp_path, capsys, caplog):
    speech = np.random.default_rng(0).standard_normal(16000 * 2 + 77).astype(np.float32) * 0.1
    speech[15800:16400] = 0.0
    soundfile.write(tmp_path / "a.wav", speech, 16000)
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    maker = Resynthesiser.of_experiment(Speaker(corpus / "D"))
    whole = maker.resynthesise(tmp_path / "a.wav", "otto").samples
    assert len(whole) == len(speech) and maker.spec.num_codebooks == 8
    parts = Resynthesiser.of_experiment(Speaker(corpus / "D"), AudioConfig(max_segment_sec=2.0))
    divided = parts.resynthesise(tmp_path / "a.wav", "otto").samples
    assert len(divided) == len(speech)
    torch.testing.assert_close(divided[:8000], whole[:8000], atol=1e-5, rtol=0)
    with pytest.raises(BadAudio, match=r"nan\.wav: 9000 of 9000 samples are NaN"):
        maker.resynthesise(tmp_path / "nan.wav")
    arguments = [
        "--exp-dir",
        corpus / "D",
        "--speaker",
        "otto",
        "--out",
        tmp_path,
        tmp_path / "a.wav",
        tmp_path / "nan.wav",
    ]
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit):
        resynthesis_command.main("resynthesise", [*map(str, arguments)])
    assert "1 of 2 files could not be resynthesised" in caplog.text
    assert capsys.readouterr().out.split() == [str(tmp_path / "a.flac")]
    written, rate = soundfile.read(tmp_path / "a.flac", dtype="float32")
    assert rate == 16000 and np.abs(written - whole.numpy()).max() < 1e-4
    with pytest.raises(ValueError, match="two inputs would be written as 'a'"):
        resynthesis_command.main("resynthesise", ["--exp-dir", str(corpus / "D"), "a.wav", "b/a.wav"])


def test_a_codec_says_its_own_codes(corpus, tmp_path):
    (tmp_path / "toy_codec.json").write_text(json.dumps({"tokenizer": "soundstream", **soundstream(tmp_path)}))
    codec = Resynthesiser.of_codec(str(tmp_path / "toy_codec.json"), None)
    speech = 0.1 * torch.randn(12345, generator=torch.Generator().manual_seed(0))
    said = codec.resynthesise_samples(speech)
    assert said.shape == speech.shape and not torch.equal(said, speech)
    tokenizer = load_tokenizer(tmp_path / "toy_codec.json")
    codes, lens = tokenizer.encode(speech[None], torch.tensor([12345]))
    assert torch.equal(tokenizer.decode(codes, lens)[0, :12345], said)
    with pytest.raises(ValueError, match="decodes in the voice of the audio"):
        codec.resynthesise_samples(speech, "otto")
    with pytest.raises(ValueError, match="give either --exp-dir, a trained vocoder, or --feature-type"):
        resynthesis_command.main("resynthesise", ["a.wav"])
    features = Resynthesiser.of_codec(str(corpus / "small_dmel.json"), None)
    with pytest.raises(ValueError, match="'small_dmel' is decoded to features, not to audio"):
        features.resynthesise_samples(speech)
