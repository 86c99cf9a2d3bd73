"""Tokenizers that train their own network, trained on a device."""

import dataclasses
from pathlib import Path

import pytest
import soundfile
import torch

from icefall_discrete.tokenizer_training.codec_config import CodecConfig
from icefall_discrete.tokenizer_training.masked_config import MaskedPredictionConfig
from icefall_discrete.tokenizers.trained_codec import TrainedCodecTokenizer
from icefall_discrete.tokenizers.trained_hubert import TrainedHubertTokenizer

CODEC = CodecConfig(
    channels=(4, 8, 8, 12),
    state_dim=8,
    num_codebooks=2,
    codebook_size=16,
    codebook_dim=4,
    max_steps=3,
    batch_sec=0.5,
    segment_sec=0.25,
    plain_steps=1,
    kmeans_batches=3,
    fit_device="cuda",
)
HUBERT = MaskedPredictionConfig(
    num_layers=2, layer=2, dim=16, num_heads=2, ffn_dim=32, position_kernel=5, position_groups=4, fit_memory_mib=1,
    teacher_clusters=(4, 6), steps=(3, 3), warmup_steps=2, batch_sec=3.0, num_clusters=8, device="cuda",
)  # fmt: skip


@pytest.fixture(scope="module")
def audio():
    samples, _ = soundfile.read(Path(__file__).parents[1] / "assets" / "speech.flac", dtype="float32")
    whole = torch.from_numpy(samples)
    return [(whole, "a"), (whole[: len(whole) // 2], "b"), (whole[len(whole) // 3 :], "c")]


@pytest.mark.parametrize("kind", ["rvq", "factorised", "group"])
def test_a_codec_trained_there_is_read_here(kind, audio, tmp_path):
    there = TrainedCodecTokenizer("toy", dataclasses.replace(CODEC, quantizer=kind))
    there.fit(audio, tmp_path, 3)
    config = dataclasses.replace(CODEC, quantizer=kind, fit_device="cpu")
    here = TrainedCodecTokenizer("toy", config, tmp_path)
    here.spec.require_same(there.spec, "a", "b")
    samples = audio[0][0]
    codes = [one.encode(samples[None], torch.tensor([len(samples)]))[0] for one in (here, there)]
    assert (codes[0] == codes[1]).float().mean() > 0.97


def test_a_hubert_trained_there_is_read_here(audio, tmp_path):
    there = TrainedHubertTokenizer("toy", HUBERT)
    there.fit(audio, tmp_path, 3)
    here = TrainedHubertTokenizer("toy", dataclasses.replace(HUBERT, device="cpu"), tmp_path)
    here.spec.require_same(there.spec, "a", "b")
    samples = audio[0][0]
    codes = [one.encode(samples[None], torch.tensor([len(samples)]))[0] for one in (here, there)]
    assert (codes[0] == codes[1]).float().mean() > 0.97
