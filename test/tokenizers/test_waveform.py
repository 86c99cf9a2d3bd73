"""Samples as frames: nothing of them changes but their shape, unless their scale is asked for."""

import json

import pytest
import torch
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(lambda folder: {})


def frames_of(tmp_path, samples, **settings):
    path = tmp_path / "samples.json"
    path.write_text(json.dumps({"tokenizer": "waveform", **settings}))
    made = load_tokenizer(path)
    return made, made.encode(samples[None], torch.tensor([len(samples)]))[0][0]


@pytest.mark.parametrize("frame_samples", [80, 7])
def test_frames_are_the_samples_and_a_rest_is_cut_off(tmp_path, speech, frame_samples):
    samples = speech[:1001]
    made, frames = frames_of(tmp_path, samples, frame_samples=frame_samples)
    whole = len(samples) // frame_samples
    assert made.spec.frame_rate_hz == pytest.approx(16000 / frame_samples, rel=1e-3) and len(frames) == whole
    assert torch.equal(frames.flatten(), samples[: whole * frame_samples])


def test_scaled_samples_have_mean_0_and_variance_1(tmp_path, speech):
    _, frames = frames_of(tmp_path, 0.5 * speech[:16000] + 0.2, normalize="layer_norm")
    assert abs(float(frames.mean())) < 1e-4 and float(frames.std()) == pytest.approx(1.0, abs=0.1)
