"""sherpa-onnx runs what is exported for it, and says what our own searches say, word for word."""

import itertools

import numpy as np
import pytest
import torch
from toy_export import filter_banks

from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.streaming_model import FrameBuffer, StreamingConfig, StreamingEncoder
from icefall_discrete.systems.asr.streaming_recognizer import StreamingRecognizer

sherpa_onnx = pytest.importorskip("sherpa_onnx")
RATE = 16000
TAIL_SEC = 0.6
STREAMS = StreamingConfig(16, 32)


def transducer_files(folder):
    return {name: str(folder / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}


def said_by_sherpa(recognizer, samples):
    stream = recognizer.create_stream()
    stream.accept_waveform(RATE, samples)
    recognizer.decode_stream(stream)
    return stream.result.text.split()


def said_by_us(exp_dir, method, samples):
    config = DecodeConfig(decoding_method=method)
    return Transcriber(exp_dir, None, config).transcribe_samples(samples).text.split()


@pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search"])
def test_whole_utterances(whole, exp_dir, voice, method):
    recognizer = sherpa_onnx.OfflineRecognizer.from_transducer(
        **transducer_files(whole), tokens=str(whole / "tokens.txt"), num_threads=1, decoding_method=method
    )
    for samples in (voice, voice[5000:21000]):
        said = said_by_us(exp_dir, method, samples)
        assert said_by_sherpa(recognizer, samples) == said and len(said) > 3


def test_whole_utterances_by_ctc(whole, exp_dir, voice):
    recognizer = sherpa_onnx.OfflineRecognizer.from_zipformer_ctc(
        model=str(whole / "ctc.onnx"), tokens=str(whole / "tokens.txt"), num_threads=1
    )
    assert said_by_sherpa(recognizer, voice) == said_by_us(exp_dir, "ctc_greedy_search", voice)


def said_in_stream(recognizer, samples):
    stream = recognizer.create_stream()
    for part in np.array_split(samples, 9):
        stream.accept_waveform(RATE, part)
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
    stream.input_finished()
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    return recognizer.get_result(stream).split()


@pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search"])
def test_streams(streaming, exp_dir, model, voice, method):
    recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(
        **transducer_files(streaming), tokens=str(streaming / "tokens.txt"), num_threads=1, decoding_method=method
    )
    # What follows, as its users add it: a chunk is taken once all of its frames and one more are there.
    noise = 1e-4 * np.random.default_rng(0).standard_normal(int(TAIL_SEC * RATE)).astype(np.float32)
    samples = np.concatenate([voice, noise])
    experiment = Experiment(exp_dir)
    ours = StreamingRecognizer(model, experiment.spec(), STREAMS, DecodeConfig(decoding_method=method))
    stream = ours.open()
    stream.push(filter_banks(samples)[0][:-1])
    while ours.step([stream]):
        pass
    said = experiment.text_encoder().decode(ours.hypothesis(stream).labels).split()
    assert said_in_stream(recognizer, samples) == said and len(said) > 3


@torch.no_grad()
def ctc_labels_in_stream(model, samples):
    """Best units of each frame, repetitions and blanks removed, of all chunks but an unfinished one."""
    encoder = StreamingEncoder(model, STREAMS)
    buffer = FrameBuffer(encoder, (0.0,) * 80, torch.float32)
    buffer.push(filter_banks(samples)[0][:-1])
    state, units = encoder.initial_state(1), [0]
    while buffer.is_ready:
        window, num_frames = buffer.next_window()
        out, _, state = encoder(window[None], torch.tensor([num_frames]), state)
        units += model.ctc_output(out)[0].argmax(dim=1).tolist()
    return [unit for before, unit in itertools.pairwise(units) if unit not in (0, before)]


def test_streams_by_ctc(streaming, exp_dir, model, voice):
    recognizer = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        model=str(streaming / "ctc.onnx"), tokens=str(streaming / "tokens.txt"), num_threads=1
    )
    labels = ctc_labels_in_stream(model, voice)
    assert len(labels) > 10
    assert said_in_stream(recognizer, voice) == Experiment(exp_dir).text_encoder().decode(labels).split()
