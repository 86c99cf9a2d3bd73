"""Audio that comes in pieces: the text of the whole, utterances that end, other rates, and what is refused."""

import io
import json
import os
import re
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch
from toy_streaming import CHUNKS, CPU, NO_ENDPOINTS, said_in, transcriber_of

from icefall_discrete.audio.resampling import Resampler
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.inference import trained_recogniser
from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.streaming import pcm
from icefall_discrete.inference.streaming.endpoints import EndpointConfig
from icefall_discrete.inference.streaming.pcm import pcm_pieces, until_interrupted
from icefall_discrete.inference.streaming.transcriber import StreamingTranscriber
from icefall_discrete.inference.trained_recogniser import load_recogniser
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.lm.arpa import write_arpa
from icefall_discrete.lm.ngram import estimate_ngram
from icefall_discrete.systems.asr.streaming_recognizer import StreamingRecognizer
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.tokenizers.contract import AudioRejected


@pytest.fixture(scope="module")
def transcriber(causal_exp):
    return transcriber_of(causal_exp)


@pytest.fixture(scope="module")
def samples(voice):
    return torch.from_numpy(voice)


def found_in_codes(exp_dir, samples):
    """What the streams of local/decode.py find in the codes of the whole."""
    trained = load_recogniser(exp_dir, CheckpointChoice(avg=1, use_averaged_model=False), CPU)
    codes = trained.tokenizer.encode(samples[None], torch.tensor([len(samples)]))[0][0]
    recognizer = StreamingRecognizer(trained.model, trained.spec, CHUNKS, DecodeConfig(blank_penalty=0.5))
    stream = recognizer.open()
    stream.push(codes)
    stream.finish()
    while recognizer.step([stream]):
        pass
    found = recognizer.hypothesis(stream)
    return trained.text_encoder.decode(found.labels), found.timestamps


def test_text_is_that_of_the_whole_whatever_comes_when(causal_exp, transcriber, samples):
    text, frames = found_in_codes(causal_exp, samples)
    assert len(text) > 12
    several = [transcriber.open(f"stream {number}") for number in range(3)]
    sizes, places, last = (1000, 4321, 160), [0, 0, 0], {}
    while not all(stream.is_over for stream in several):
        for number, stream in enumerate(several):
            start, places[number] = places[number], places[number] + sizes[number]
            if start < len(samples):
                stream.accept(samples[start : places[number]])
            elif not stream.recognition.is_done:
                stream.finish()
        last.update((stream.name, update) for stream, update in transcriber.advance(several))
    assert [update.text for update in last.values()] == [text] * 3
    frame_sec = last["stream 0"].timestamps[-1] / frames[-1]
    assert last["stream 1"].timestamps == pytest.approx([frame * frame_sec for frame in frames])
    assert all(update.is_eof and update.is_final for update in last.values())


def test_language_models_and_phrases_say_in_streams_what_they_say_of_the_whole(causal_exp, samples, tmp_path):
    pieces = TextEncoder(causal_exp / "bpe.model").pieces()
    write_arpa(tmp_path / "lm.arpa", estimate_ngram([pieces[3:9], pieces[5:20]] * 3, 2, pieces[3:]))
    (tmp_path / "phrases.json").write_text(json.dumps({"toy": [" ".join(pieces[7:9])], "other": [pieces[4]]}))
    lm = {"lm": str(tmp_path / "lm.arpa"), "lm_scale": 0.7, "context_file": str(tmp_path / "phrases.json")}
    texts = []
    for settings in ({}, lm):
        decode = DecodeConfig(decoding_method="modified_beam_search", blank_penalty=0.5, **settings)
        ours = StreamingTranscriber(causal_exp, decode=decode, streaming=CHUNKS, endpoints=NO_ENDPOINTS, run=CPU)
        texts.append(said_in(ours, samples)[-1].text)
        assert texts[-1] == Transcriber(causal_exp, decode=decode, run=CPU).transcribe_samples(samples, "toy").text
    assert texts[0] != texts[1]


def test_rules():
    rules = EndpointConfig()
    assert [rules.rule(silence, 5.0) for silence in (1.19, 1.2, 2.4)] == [None, 2, 1]
    assert [rules.rule(length, length) for length in (1.3, 2.39, 2.4)] == [None, None, 1]  # nothing was said
    assert (rules.rule(0.1, 20.0), rules.rule(0.1, 19.9)) == (3, None)
    assert EndpointConfig(enable_endpoint=False).rule(100.0, 100.0) is None
    with pytest.raises(ValueError, match="rule3_min_utterance_length is 0"):
        EndpointConfig(rule3_min_utterance_length=0)


def test_utterances_end_and_the_next_begins_with_nothing_found(causal_exp, samples):
    updates = said_in(transcriber_of(causal_exp, EndpointConfig(rule3_min_utterance_length=0.6)), samples)
    final = [update for update in updates if update.is_final]
    assert len(final) >= 3 and [update.rule for update in final[:-1]] == [3] * (len(final) - 1)
    assert [update.segment for update in final] == list(range(len(final))) and all(update.text for update in final)
    starts, ends = [update.start_sec for update in final], [update.end_sec for update in final]
    assert starts == pytest.approx([0.0, *ends[:-1]]) and final[-1].is_eof
    assert all(second <= update.end_sec - update.start_sec for update in updates for second in update.timestamps)
    # The encoder goes on where it was, or begins anew: what is found in the first utterance is the same.
    anew = EndpointConfig(rule3_min_utterance_length=0.6, reset_encoder=True)
    other = [update for update in said_in(transcriber_of(causal_exp, anew), samples) if update.is_final]
    assert other[0].text == final[0].text and [one.end_sec for one in other] == ends
    assert json.loads(json.dumps(final[0].to_json()))["is_final"] is True


def test_silence_ends_utterances_without_a_number(causal_exp):
    rules = EndpointConfig(rule1_min_trailing_silence=0.5, rule2_min_trailing_silence=0.5)
    decode = DecodeConfig(blank_penalty=-1000.0)  # so that nothing is said
    streams = StreamingTranscriber(causal_exp, decode=decode, streaming=CHUNKS, endpoints=rules, run=CPU)
    updates = said_in(streams, torch.zeros(32000))
    assert {update.rule for update in updates[:-1]} == {1, None} and {update.segment for update in updates} == {0}


@pytest.mark.parametrize("rate", [8000, 44100])
def test_another_rate_is_resampled_as_files_are(transcriber, samples, rate):
    there = Resampler(16000, rate)(samples)
    back = Resampler(rate, 16000)
    parts = back.as_it_comes()
    found = [part for piece in torch.split(there, 700) if len(part := parts.accept(piece))]
    torch.testing.assert_close(torch.cat([*found, parts.finish()]), back(there), atol=2e-5, rtol=1e-4)
    updates = said_in(transcriber, there, 700, rate)
    assert updates[-1].text == said_in(transcriber, back(there))[-1].text
    with pytest.raises(ValueError, match=r"the sample rate is 16 Hz, expected 2000 to 400000 Hz\."):
        transcriber.open("toy", 16)


def test_bad_samples_are_named_and_leave_the_stream_as_it_was(transcriber, samples):
    stream = transcriber.open("client 7")
    stream.accept(samples[:1600])
    with pytest.raises(BadAudio, match=r"client 7: 2 of 3 samples are NaN or infinite\."):
        stream.accept(torch.tensor([0.0, float("nan"), float("inf")]))
    assert stream.num_samples == 1600
    with pytest.raises(AudioRejected, match=r"client 7: the audio reaches 3000, expected .*Divide 16-bit samples"):
        transcriber.open("client 7").accept(torch.full((1600,), 3000.0))
    nothing = transcriber.open("client 8")
    nothing.finish()
    ((_, update),) = transcriber.advance([nothing])
    assert (update.text, update.is_eof, nothing.is_over) == ("", True, True)


def test_pcm():
    data = np.array([0, 16384, -32768, 32767], dtype="<i2").tobytes()
    whole = torch.cat(list(pcm_pieces(until_interrupted(io.BytesIO(data), 6), "pipe")))
    assert whole.tolist() == [0.0, 0.5, -1.0, 32767 / 32768]
    read = pcm_pieces(until_interrupted(io.BytesIO(data + b"\0"), 6), "pipe")
    assert sum(len(next(read)) for _ in range(2)) == 4
    with pytest.raises(BadAudio, match=r"pipe: ends within a sample, after an odd number of bytes; expected s16le"):
        next(read)


def test_what_came_through_a_pipe_does_not_wait_for_the_rest():
    data = np.array([1, 2, 3, 4], dtype="<i2").tobytes()
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        read = pcm_pieces(until_interrupted(pipe, 200), "pipe")
        os.write(writing, data[:3])
        assert (next(read) * 32768).tolist() == [1.0]
        os.write(writing, data[3:])
        assert (next(read) * 32768).tolist() == [2.0, 3.0, 4.0]
        os.close(writing)
        assert list(read) == []


class Microphone:
    """A pipe, what is said into it, and Ctrl-C, in a process that does not ignore it as those of CI do."""

    def __init__(self):
        reading, self.writing = os.pipe()
        self.pipe = PipeThatIsWatched(io.FileIO(reading))

    def say(self, num_samples):
        os.write(self.writing, b"\1\0" * num_samples)

    def end(self):
        os.close(self.writing)
        self.writing = None

    def press(self):
        os.kill(os.getpid(), signal.SIGINT)

    def heard(self):
        return pcm_pieces(until_interrupted(self.pipe, 3200), "pipe")


class PipeThatIsWatched(io.BufferedReader):
    after_reading = staticmethod(lambda: None)

    def read1(self, size=-1):
        data = super().read1(size)
        self.after_reading()
        return data


@pytest.fixture
def microphone():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    made = Microphone()
    with made.pipe:
        yield made
    if made.writing is not None:
        made.end()
    signal.signal(signal.SIGINT, before)


def test_what_came_before_the_first_interrupt_and_just_after_is_heard(microphone):
    microphone.say(1600)
    heard = []
    for piece in microphone.heard():
        heard.append(len(piece))
        if len(heard) == 1:  # while a chunk is recognised
            microphone.say(8000)
            microphone.press()
            microphone.end()
    assert heard == [1600] * 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_was_read_is_heard_wherever_the_interrupt_comes(microphone, monkeypatch):
    def as_samples_interrupted(*arguments):
        monkeypatch.undo()
        microphone.press()
        return pcm.as_samples(*arguments)

    microphone.say(4800)
    monkeypatch.setattr(pcm, "as_samples", as_samples_interrupted)
    assert sum(map(len, microphone.heard())) == 4800  # the pipe stays open: nothing comes, and nothing is waited for
    monkeypatch.setattr(microphone.pipe, "after_reading", lambda: (monkeypatch.undo(), microphone.press()))
    microphone.say(1600)
    assert sum(map(len, microphone.heard())) == 1600


def test_an_interrupt_ends_what_comes_while_nothing_comes(microphone):
    microphone.say(2)
    heard = []
    for piece in microphone.heard():
        heard.append(len(piece))
        threading.Timer(0.05, microphone.press).start()
    assert heard == [2]


def test_an_interrupt_ends_what_has_no_end(microphone):
    with open("/dev/zero", "rb") as endless:
        heard = []
        for data in until_interrupted(endless, 2**14):
            heard.append(len(data))
            if len(heard) == 1:
                microphone.press()
    assert sum(heard) == 2**14 + 2**17


def test_the_second_interrupt_ends_the_command(microphone):
    taken = []
    microphone.say(2)
    with pytest.raises(KeyboardInterrupt):
        for piece in microphone.heard():
            taken.append(len(piece))
            microphone.press()  # while a chunk is recognised, which goes on
            taken.append("recognised")
            microphone.press()
    assert taken == [2, "recognised"]


def test_where_ctrl_c_is_ignored_or_elsewhere_it_stays_so(microphone):
    with ThreadPoolExecutor(1) as pool:  # signals are for the main thread
        assert pool.submit(lambda: list(until_interrupted(io.BytesIO(b"abc"), 2))).result() == [b"ab", b"c"]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert list(until_interrupted(io.BytesIO(b"abc"), 2)) == [b"ab", b"c"]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_who_cannot_stream_says_so(causal_exp, work, transcriber):
    with pytest.MonkeyPatch.context() as patch:  # before a tokenizer, whose network may have to be fetched
        patch.setattr(trained_recogniser, "load_experiment_tokenizer", None)
        with pytest.raises(ValueError, match=r"streaming needs an encoder that was trained with causal"):
            StreamingTranscriber(work / "exp", run=CPU)
    spoiled = transcriber.tokenizer
    assert spoiled.reach is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(spoiled.source), "reach", None)
        with pytest.raises(ValueError, match=r"'small_km' hears the whole utterance .* fbank, mfcc, dmel, or k-means"):
            StreamingTranscriber(causal_exp, run=CPU, endpoints=NO_ENDPOINTS)


@pytest.fixture
def run(causal_exp, console):
    def transcribe(*arguments, exp_dir=causal_exp, **of_the_process):
        flags = ("--exp-dir", exp_dir, "--device", "cpu", "--chunk-size", 8, "--left-context-frames", 16)
        return console("transcribe", *flags, *arguments, **of_the_process)

    return transcribe


def test_command(run, files, transcriber, voice, tmp_path):
    expected = [said_in(transcriber, read_whole(file))[-1].text for file in files[:2]]
    soundfile.write(tmp_path / "short.wav", np.zeros(5), 16000)
    status, out, err = run("--streaming", *files[:2], tmp_path / "gone.wav", tmp_path / "short.wav")
    assert status == 1 and out.splitlines() == [f"{file}\t{text}" for file, text in zip(files, expected)]
    assert "gone.wav" in err and "2 of 4 files could not be transcribed" in err
    assert re.search(r"short\.wav: 5 samples \(0\.000 s\), but small_km needs at least \d+ .*; leave it out\.", err)
    assert "latency: a chunk lasts 0.32 s and waits for 0.122 s more (model 0.12 s, small_km 0.0025 s)" in err
    data = (np.clip(voice, -1, 1) * 32767).astype("<i2").tobytes()
    status, out, _ = run("--streaming", "--pcm-rate", 16000, "--json", "--partial", stdin=data)
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and len(lines) > 2 and [line["is_final"] for line in lines[-2:]] == [False, True]
    assert {line["file"] for line in lines} == {"standard input"} and lines[-1]["text"]
    status, out, err = run("--streaming", "--pcm-rate", 16000, "--partial", stdin=data[:-1])
    assert status == 1 and "ends within a sample" in err
    seconds, mark, text = out.splitlines()[-1].split("\t")
    assert (mark, text) == ("", lines[-1]["text"]) and float(seconds) == pytest.approx(len(voice) / 16000, abs=0.1)


def read_whole(file):
    return torch.from_numpy(soundfile.read(file, dtype="float32")[0])


def test_flags_of_streams_are_refused_without_streaming(run, files, work):
    status, _, err = run("--rule1-min-trailing-silence", "1", files[0])
    assert status == 1 and "is for streams, and without --streaming files are recognised whole" in err
    status, _, err = run("--streaming", "--pcm-rate", 16000, files[0])
    assert status == 1 and "--pcm-rate reads standard input, but there are files too" in err
    status, _, err = run("--streaming", "--max-segment-sec", 20, files[0])
    assert status == 1 and "--max-segment-sec is for audio that is recognised whole" in err
    status, _, err = run("--streaming", files[0], exp_dir=work / "exp")
    assert status == 1 and err.count("streaming needs an encoder that was trained with causal") == 1


def test_a_stream_takes_the_tokenizer_that_it_is_given(run, files, causal_exp, tmp_path):
    shutil.copytree(causal_exp, tmp_path / "exp")
    shutil.move(tmp_path / "exp" / "tokenizer", tmp_path / "elsewhere")
    status, _, err = run("--streaming", files[0], exp_dir=tmp_path / "exp")
    assert status == 1 and "--tokenizer-dir" in err
    told = run("--streaming", "--tokenizer-dir", tmp_path / "elsewhere", files[0], exp_dir=tmp_path / "exp")
    assert told[:2] == run("--streaming", files[0])[:2] and told[0] == 0
