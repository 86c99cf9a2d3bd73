"""Tokenizers that train their own network, trained on a device."""

import dataclasses

import pytest
import torch
from toy_fits import SMALL_CODEC, SMALL_HUBERT

from icefall_discrete.systems.codec.trained_codec import TrainedCodecTokenizer
from icefall_discrete.systems.masked_prediction.trained_hubert import TrainedHubertTokenizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def same_codes(here, there, samples):
    """Share of the codes that two tokenizers agree on."""
    codes = [one.encode(samples[None], torch.tensor([len(samples)]))[0] for one in (here, there)]
    return (codes[0] == codes[1]).float().mean()


@pytest.mark.parametrize("kind", ["rvq", "factorised", "group"])
def test_a_codec_trained_there_is_read_here(kind, fit_audio, speech, tmp_path):
    config = dataclasses.replace(SMALL_CODEC, quantizer=kind)
    there = TrainedCodecTokenizer("toy", dataclasses.replace(config, fit_device="cuda"))
    there.fit(fit_audio, tmp_path, 3)
    here = TrainedCodecTokenizer("toy", config, tmp_path)
    here.spec.require_same(there.spec, "a", "b")
    assert same_codes(here, there, speech) > 0.97


def test_a_hubert_trained_there_is_read_here(fit_audio, speech, tmp_path):
    there = TrainedHubertTokenizer("toy", dataclasses.replace(SMALL_HUBERT, device="cuda"))
    there.fit(fit_audio, tmp_path, 3)
    here = TrainedHubertTokenizer("toy", SMALL_HUBERT, tmp_path)
    here.spec.require_same(there.spec, "a", "b")
    assert same_codes(here, there, speech) > 0.97
