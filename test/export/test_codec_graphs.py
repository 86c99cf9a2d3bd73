"""Codecs as networks for other runtimes: codes are those of the tokenizer, for audio of any length."""

import dataclasses
import importlib.util

import pytest
import torch
import toy_codecs
import transformers
from toy_fits import SMALL_CODEC

from icefall_discrete.export.onnx_files import export_onnx, onnx_runner, write_onnx
from icefall_discrete.export.tokenizer import shortest_audio, tokenizer_part
from icefall_discrete.systems.codec.trained_codec import TrainedCodecTokenizer
from icefall_discrete.tokenizers.dac import DacConfig, DacTokenizer
from icefall_discrete.tokenizers.encodec import EncodecConfig, EncodecTokenizer
from icefall_discrete.tokenizers.hificodec import HificodecConfig, HificodecTokenizer
from icefall_discrete.tokenizers.mimi import MimiConfig, MimiTokenizer
from icefall_discrete.tokenizers.networks.frame_graph import NotExported
from icefall_discrete.tokenizers.speechtokenizer import SpeechtokenizerConfig, SpeechtokenizerTokenizer
from icefall_discrete.tokenizers.xcodec import XcodecConfig, XcodecTokenizer

HAS_RUNTIME = bool(importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"))


def trained(quantizer):
    def make(folder):
        config = dataclasses.replace(SMALL_CODEC, quantizer=quantizer)
        tokenizer = TrainedCodecTokenizer("toy", config)
        generator = torch.Generator().manual_seed(1)
        tokenizer.fit([(0.2 * torch.randn(16000, generator=generator), "a")], folder, 0)
        return tokenizer

    return make


def published(toy, tokenizer, config):
    return lambda folder: tokenizer("toy", config(**toy(folder)))


MAKE = {
    **{f"trained, {quantizer}": trained(quantizer) for quantizer in ("rvq", "factorised", "group")},
    "encodec": published(toy_codecs.encodec, EncodecTokenizer, EncodecConfig),
    "dac": published(toy_codecs.dac, DacTokenizer, DacConfig),
    "hificodec": published(toy_codecs.hificodec, HificodecTokenizer, HificodecConfig),
    "speechtokenizer": published(toy_codecs.speechtokenizer, SpeechtokenizerTokenizer, SpeechtokenizerConfig),
    "mimi": published(toy_codecs.mimi, MimiTokenizer, MimiConfig),
}
if hasattr(transformers, "XcodecModel"):
    MAKE["xcodec"] = published(toy_codecs.xcodec, XcodecTokenizer, XcodecConfig)


@pytest.mark.parametrize("kind", MAKE)
def test_codes_are_those_of_the_tokenizer(kind, tmp_path, voice):
    tokenizer = MAKE[kind](tmp_path)
    part = tokenizer_part(tokenizer)
    runs = [lambda inputs: [part.module(*inputs.values())]]
    if HAS_RUNTIME:
        export_onnx(part, tmp_path, False)
        runs.append(onnx_runner(tmp_path / "tokenizer.onnx"))
    for size in (shortest_audio(tokenizer), 3001, 16000):
        samples = torch.from_numpy(voice[4000 : 4000 + size])
        (wanted,) = tokenizer.encode(samples[None], torch.tensor([size]))[0]
        for run in runs:
            with torch.no_grad():
                (found,) = run({"samples": samples})
            assert found.shape == wanted.shape
            # Of sums in another order a frame now and then is nearer to another entry.
            assert float((found[:, 0] != wanted[:, 0]).float().mean()) < 0.01


def test_audio_of_several_segments_and_an_end_of_any_length(tmp_path, voice):
    """EnCodec at 48 kHz: segments of 48000 samples, every 47520, each by its own loudness."""
    tokenizer = EncodecTokenizer("stereo", EncodecConfig(**toy_codecs.encodec(tmp_path, stereo=True)))
    part = tokenizer_part(tokenizer)
    with torch.no_grad():
        run = part.module
        if HAS_RUNTIME:
            write_onnx(part, tmp_path / "tokenizer.onnx")
            runner = onnx_runner(tmp_path / "tokenizer.onnx")

            def run(samples):
                return runner({"samples": samples})[0]

        samples = torch.from_numpy(voice).repeat(8)[:100000] * torch.linspace(0.1, 1, 100000)
        assert shortest_audio(tokenizer) == 320
        # One short segment; two, of which both are short; a last segment of one sample, and of many.
        for size in (320, 47999, 2 * 47520 + 1, 100000):
            (wanted,) = tokenizer.encode(samples[None, :size], torch.tensor([size]))[0]
            found = run(samples[:size])
            assert found.shape == wanted.shape, size
            assert float((found != wanted).float().mean()) < 0.01, size


def test_codecs_that_look_at_lengths_say_so(tmp_path):
    tokenizer = EncodecTokenizer("toy", EncodecConfig(**toy_codecs.encodec(tmp_path)))
    tokenizer._codec.frames_to_trace = None
    with pytest.raises(NotExported, match="codec 'toy' looks at the length of audio, so that it is not exported"):
        tokenizer.graph()
