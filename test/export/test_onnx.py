"""Audio to text without PyTorch gives what `transcribe` gives; what is missing or damaged is one sentence."""

import dataclasses
import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from toy_export import STREAMING, filter_banks

from icefall_discrete.decoding.methods import METHODS, PREFIXES_RESCORED, known_methods
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.export import command as export_command
from icefall_discrete.export.onnx_files import onnx_runner
from icefall_discrete.export.tokenizer import tokenizer_part
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.inference.streaming.transcriber import StreamingTranscriber
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.onnx import command as onnx_command
from icefall_discrete.onnx.audio import read_audio, resampled
from icefall_discrete.onnx.folder import read_model, write_model
from icefall_discrete.onnx.networks import STREAM_METHODS
from icefall_discrete.onnx.recogniser import Recogniser
from icefall_discrete.onnx.searches import UnitScores
from icefall_discrete.onnx.streams import StreamingRecogniser
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.frames.whisper import _WhisperGraph, log_mel

RATE = 16000
# Imports what it is given no leave for, then recognises.
WITHOUT_TORCH = """
import sys
from icefall_discrete.onnx.command import main
main("onnx", sys.argv[1:])
print(sorted({"torch", "lhotse", "scipy"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def exported(codes_dir, tmp_path_factory):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    out_dir = tmp_path_factory.mktemp("onnx") / "model"
    export_command.main("export", ["--exp-dir", str(codes_dir), "--out-dir", str(out_dir)])
    return out_dir


@pytest.mark.parametrize("method", known_methods())
def test_texts_are_those_of_transcribe(exported, codes_dir, voice, method):
    recogniser = Recogniser(exported, method)
    nbest = 3 if "nbest" in METHODS[method].settings else 1
    decode = dataclasses.replace(kept_settings(codes_dir)[1], decoding_method=method, nbest=nbest)
    transcriber = Transcriber(codes_dir, None, decode)
    texts = []
    for samples in (voice, voice[3000:15001], voice[20000:30000]):
        codes = transcriber.tokenizer.encode(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))[0][0]
        assert np.array_equal(recogniser.frames(samples), codes.numpy())
        found = recogniser.hypotheses(samples, nbest)
        wanted = transcriber.transcribe_samples(samples)
        assert found[0].text == wanted.text == recogniser.recognise(samples)
        assert found[0].score == pytest.approx(wanted.score, rel=1e-4)
        if nbest > 1:
            (segment,) = wanted.segments
            assert [one.text for one in found] == [text for text, _ in segment.nbest]
            assert [one.score for one in found] == pytest.approx([score for _, score in segment.nbest], rel=1e-4)
        texts.append(found[0].text)
    assert len(set(texts)) == 3


def test_no_torch_is_imported(exported, codes_dir, voice, tmp_path):
    soundfile.write(tmp_path / "a.wav", voice, RATE)
    search = "joint_beam_search"
    words = (sys.executable, "-c", WITHOUT_TORCH, "--model", exported, "--decoding-method", search, tmp_path / "a.wav")
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    decode = dataclasses.replace(kept_settings(codes_dir)[1], decoding_method=search)
    text = next(Transcriber(codes_dir, None, decode).transcribe([tmp_path / "a.wav"])).text
    assert done.stdout == f"{text}\n[]\n", done.stderr


def test_the_command_prints_as_many_texts_as_are_asked_for(exported, voice, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", voice, RATE)
    arguments = ["--model", str(exported), "--decoding-method", "modified_beam_search", str(tmp_path / "a.wav")]
    onnx_command.main("onnx", [*arguments, "--nbest", "2"])
    found = Recogniser(exported, "modified_beam_search").hypotheses_of_file(tmp_path / "a.wav", 2)
    assert len(found) == 2 and capsys.readouterr().out == "".join(f"{one.score:.4f}\t{one.text}\n" for one in found)
    with pytest.raises(ValueError, match="nbest is 6, but the search of"):
        onnx_command.main("onnx", [*arguments, "--nbest", "6"])
    for flags, sentence in (
        (["--partial"], "--partial is for streams"),
        (["--streaming", "--nbest", "2"], "--nbest 2 is"),
    ):
        with pytest.raises(ValueError, match=sentence):
            onnx_command.main("onnx", [*arguments, *flags])


def test_half_a_file_is_named_and_a_pipes_is_heard_whole(voice, tmp_path):
    """As by transcribe: nothing is recognised whose header announces other audio than there is."""
    for suffix in ("wav", "flac", "ogg", "mp3"):
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, voice, RATE)
        assert len(read_audio(path, RATE)) == len(soundfile.read(path)[0])
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        said = rf"a\.{suffix}: cannot be read as audio: .*(announces|cut short|malformed)"
        with pytest.raises(ValueError, match=said):
            read_audio(path, RATE)
    soundfile.write(tmp_path / "pipe.wav", voice, RATE, subtype="FLOAT")
    data = bytearray((tmp_path / "pipe.wav").read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = bytes(4)
    (tmp_path / "pipe.wav").write_bytes(data)
    assert np.array_equal(read_audio(tmp_path / "pipe.wav", RATE), voice)
    soundfile.write(tmp_path / "odd.wav", voice, 15991)
    with pytest.raises(ValueError, match=r"odd\.wav: 15991 Hz cannot be brought to 16000 Hz here"):
        read_audio(tmp_path / "odd.wav", RATE)


def test_the_command_goes_on_behind_a_file_that_is_none_and_quotes_names(exported, voice, tmp_path, capsys):
    names = [tmp_path / name for name in ("of two\nlines.wav", "x" * 300, "tab\t.wav")]
    for path in names[::2]:
        soundfile.write(path, voice, RATE)
    with pytest.raises(SystemExit):
        onnx_command.main("onnx", ["--model", str(exported), *map(str, names)])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line.split('"\t')[0] + '"') for line in lines] == [str(path) for path in names[::2]]


def update_at_end(transcriber, stream):
    """What a stream says last."""
    stream.finish()
    while stream.is_ready:
        ((_, update),) = transcriber.advance([stream])
    return update


def test_streams_find_what_transcribe_finds_in_them(codes_dir, voice, tmp_path):
    pytest.importorskip("onnxruntime")
    out_dir, streams, audio = tmp_path / "model", StreamingConfig(16, 32), np.tile(voice, 2)
    export_command.main("export", ["--exp-dir", str(codes_dir), "--out-dir", str(out_dir), "--int8", "0", *STREAMING])
    with pytest.raises(ValueError, match="holds an encoder of streams; recognise with --streaming"):
        Recogniser(out_dir)
    for method in STREAM_METHODS:
        decode = dataclasses.replace(kept_settings(codes_dir)[1], decoding_method=method)
        whole = StreamingTranscriber(codes_dir, None, decode, streams, EndpointConfig(enable_endpoint=False))
        theirs, ours, ends, wanted = whole.open(), StreamingRecogniser(out_dir, method).open(), [], ""
        for begin in range(0, len(audio), 1000):
            theirs.accept(torch.from_numpy(audio[begin : begin + 1000]))
            while theirs.is_ready:
                ((_, update),) = whole.advance([theirs])
                wanted = update.text
                ends.append(update.end_sec)
            assert ours.accept(audio[begin : begin + 1000]) == wanted
        assert len(ends) > 3 and wanted
        frame_sec = ends[-1] / ours.num_frames
        found, wanted = ours.finish(), update_at_end(whole, theirs)
        assert found == wanted.text and ours.num_frames == round(wanted.end_sec / frame_sec)
        # Shorter than a chunk altogether, than what a stack sees at once, and than the tokenizer takes.
        for length in (5000, 1000, 10):
            theirs, ours = whole.open(), StreamingRecogniser(out_dir, method).open()
            theirs.accept(torch.from_numpy(audio[-length:]))
            ours.accept(audio[-length:])
            assert ours.finish() == update_at_end(whole, theirs).text
    soundfile.write(tmp_path / "a.wav", voice, RATE)
    words = (sys.executable, "-c", WITHOUT_TORCH, "--model", out_dir, "--streaming", "--partial", tmp_path / "a.wav")
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    model = read_model(out_dir)
    for change, reason in (
        ({"chunk_size": 0}, "0 frames a chunk, .* are no division of a stream; copy the folder anew"),
        ({"lead_frames": 10**12}, "'chunks.lead_frames' is 1000000000000, but .* at most 65536"),
    ):
        said = json.loads((out_dir / "model.json").read_text())
        (out_dir / "model.json").write_text(json.dumps({**said, "chunks": {**said["chunks"], **change}}))
        with pytest.raises(ValueError, match=reason):
            StreamingRecogniser(out_dir)
        write_model(out_dir, model, model.digests())
    *partial, last, modules = done.stdout.splitlines()
    assert modules == "[]" and partial and all(line.split("\t")[1] == "..." for line in partial), done.stderr
    assert last.split("\t")[:2] == [f"{len(voice) / RATE:.2f}", ""]


def test_weights_of_8_bits_say_something(exported, voice):
    assert read_model(exported).has_int8 and Recogniser(exported, int8=True).recognise(voice)


@pytest.mark.parametrize("rate", [8000, 44100, 11025, 48000])
def test_other_rates_are_resampled_as_by_scipy(voice, tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", voice[:9001], rate)
    common = math.gcd(rate, RATE)
    wanted = scipy.signal.resample_poly(voice[:9001], RATE // common, rate // common)
    found = read_audio(tmp_path / "a.wav", RATE)
    assert found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-6
    with pytest.raises(ValueError, match="15991 Hz cannot be brought to 16000 Hz here"):
        resampled(voice, 15991, RATE)


@torch.no_grad()
def test_spectra_by_products_are_those_of_lhotse(voice):
    samples = torch.from_numpy(voice[:12345])
    for name in ("fbank", "mfcc_kmeans"):
        source = load_tokenizer("fbank").source if name == "fbank" else load_tokenizer("mfcc_km500").source
        found, wanted = source.graph()(samples), source.frames(samples)
        assert found.shape == wanted.shape and float((found - wanted).abs().max()) < 2e-3


class PassedOn(torch.nn.Module):
    """Instead of an encoder: the spectrogram itself, every second frame."""

    class sizes:
        max_states = 1500

    def forward(self, mel, layers):
        return mel.T[::2]


def test_whispers_spectrogram_by_products(voice):
    samples = torch.from_numpy(voice[:12345])
    filters = torch.rand(201, 20)
    found = _WhisperGraph(PassedOn(), filters, (0,), 0.5)(samples)
    states = -(-(12345 + 8000) // 320)
    wanted = log_mel(torch.nn.functional.pad(samples, (0, states * 320 - 12345)), filters).T[::2][: -(-12345 // 320)]
    assert found.shape == wanted.shape and float((found - wanted).abs().max()) < 1e-4


def test_a_tokenizer_takes_audio_of_any_length(tmp_path, voice):
    pytest.importorskip("onnxruntime")
    export_command.export_parts([tokenizer_part(load_tokenizer("fbank"))], tmp_path, export_command.ExportConfig())
    run = onnx_runner(tmp_path / "tokenizer.onnx")
    for size in (400, 4001, 32000):
        (found,) = run({"samples": torch.from_numpy(voice[:size])})
        wanted = filter_banks(voice[:size])[0]
        assert found.shape == wanted.shape and float((found - wanted).abs().max()) < 2e-3


def test_log_probs_of_unknown_pieces_are_never_the_best():
    found = UnitScores(blank_penalty=0.5).of(np.array([[1.0, 0.0, 9.0, 2.0]], dtype=np.float32))
    assert int(found[0].argmax()) == 3 and found[0, 2] == -np.inf


def refuses_networks_of_something_else(exported, broken, voice):
    """Digests tell of accidents; whoever makes a folder makes them too."""
    onnx = pytest.importorskip("onnx")
    network = onnx.load(str(exported / "decoder.onnx"))
    (size,) = (entry for entry in network.metadata_props if entry.key == "context_size")
    size.value = "9" * 6000
    shutil.copyfile(exported / "encoder.onnx", broken / "encoder.onnx")
    onnx.save(network, str(broken / "decoder.onnx"))
    write_model(broken, read_model(exported), read_model(exported).digests())
    with pytest.raises(ValueError, match=r"decoder\.onnx says '9{20}' of its context_size, expected a number from 1"):
        Recogniser(broken, "greedy_search").recognise(voice)
    shutil.copyfile(exported / "decoder.onnx", broken / "decoder.onnx")
    shutil.copyfile(exported / "encoder.onnx", broken / "joiner.onnx")
    write_model(broken, read_model(exported), read_model(exported).digests())
    with pytest.raises(ValueError, match=r"joiner\.onnx cannot be run by onnxruntime \(.*\); export the model again"):
        Recogniser(broken, "greedy_search").recognise(voice)


def test_refusals_name_the_file_and_what_to_do(exported, voice, tmp_path):
    recogniser = Recogniser(exported)
    assert recogniser.method == PREFIXES_RESCORED  # for the recipe's, which needs k2
    with pytest.raises(ValueError, match=r"nbest is 6, but the search of .* keeps 5 hypotheses"):
        recogniser.hypotheses(voice, 6)
    with pytest.raises(ValueError, match=r"x\.wav: has 0\.000625 s, but .* takes 0\.025 s at least, .*; leave it out"):
        recogniser.recognise(voice[:10], "x.wav")
    with pytest.raises(ValueError, match="in one piece; cut it in its pauses"):
        recogniser.recognise(np.zeros(100 * RATE, np.float32), "long.wav")
    with pytest.raises(ValueError, match=r"no\.wav: the file does not exist"):
        recogniser.recognise_file(tmp_path / "no.wav")
    with pytest.raises(ValueError, match=r"knows no search '1best'; .*ctc_greedy_search"):
        Recogniser(exported, "1best")
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    (broken / "encoder.onnx").write_bytes((exported / "encoder.onnx").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"encoder\.onnx is not the file that was exported; copy it anew"):
        Recogniser(broken, "greedy_search")
    write_model(broken, read_model(exported), read_model(exported).digests())
    with pytest.raises(ValueError, match=r"encoder\.onnx cannot be run by onnxruntime \(.*\); export the model again"):
        Recogniser(broken, "greedy_search")
    refuses_networks_of_something_else(exported, broken, voice)
    said = json.loads((broken / "model.json").read_text())
    for change, reason in (
        ({"sha256": ["x"]}, r"model\.json: 'sha256' has 'x', expected a name, a colon and a hash; copy the folder"),
        ({"parts": ["tokenizer"]}, r"holds networks for no search \(tokenizer\); export the model again"),
    ):
        (broken / "model.json").write_text(json.dumps({**said, **change}))
        with pytest.raises(ValueError, match=reason):
            Recogniser(broken)
    (broken / "model.json").write_text(json.dumps({**said, "format": 1}))
    with pytest.raises(ValueError, match="is of format 1, but this version reads 2; install the version that wrote"):
        Recogniser(broken)
    (broken / "model.json").write_text(json.dumps({"version": 1, "files": {}}))
    with pytest.raises(ValueError, match="is a model folder for PyTorch, as `icefall-discrete push` writes them; exp"):
        Recogniser(broken)
