"""The searches in numpy find what those in PyTorch find, with the same scores."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_transducer import random_model, random_output

from icefall_discrete.decoding.methods import PREFIXES_RESCORED
from icefall_discrete.decoding.search import search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.export.parts import AttentionDecoderPart, JoinerPart, PredictorPart
from icefall_discrete.onnx.label_search import LabelSearch, rescored
from icefall_discrete.onnx.searches import (
    Heads,
    UnitScores,
    ctc_greedy_search,
    ctc_prefix_beam_search,
    greedy_search,
    modified_beam_search,
)

CONFIG = DecodeConfig(beam_size=5, nbest=4, blank_penalty=0.3, emit_unk=True)
SEEDS = (0, 1, 2)


@torch.no_grad()
def both(seed, config, search):
    """What the two find for an utterance: PyTorch's, and what `search` gives of model, frames (T', D) and logits."""
    model, (out, _) = random_model(seed=seed), random_output(1, 17, seed + 20)
    wanted = search_nbest(config.decoding_method, model, out, torch.tensor([17]), config)[0]
    found = search(model, out, model.ctc_output(out)[0].numpy())
    assert [one.labels for one in found[: config.nbest]] == [one.labels for one in wanted]
    assert [one.score for one in found[: config.nbest]] == pytest.approx([one.score for one in wanted], abs=1e-3)
    return wanted


def decoder_of(model, out):
    part = AttentionDecoderPart(model.attention_decoder)
    return lambda labels: part(out, torch.from_numpy(labels)).numpy()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_prefixes_and_those_rescored(seed, scale):
    units = UnitScores(0.3, 1.5, True)
    config = dataclasses.replace(CONFIG, decoding_method="ctc_prefix_beam_search", temperature=1.5)
    both(seed, config, lambda _, out, logits: ctc_prefix_beam_search(units.of(logits), 5))
    config = dataclasses.replace(config, decoding_method=PREFIXES_RESCORED, attention_scale=scale)

    def again(model, out, logits):
        return rescored(decoder_of(model, out), ctc_prefix_beam_search(units.of(logits), 5), scale)

    both(seed, config, again)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"ctc_weight": 0.0}, {"ctc_weight": 1.0}, {"length_bonus": 0.8, "maxlenratio": 0.5}, {"minlenratio": 0.3}],
    ids=str,
)
def test_label_by_label(seed, settings):
    config = dataclasses.replace(CONFIG, decoding_method="joint_beam_search", **settings)

    def joint(model, out, logits):
        heard = None if config.ctc_weight == 0.0 else UnitScores(0.3, 1.0, True).of(logits)
        decoder = None if config.ctc_weight == 1.0 else decoder_of(model, out)
        return LabelSearch(17, heard, decoder, 5, 4, config, True).search()

    assert both(seed, config, joint)


@pytest.mark.parametrize("labels_a_frame", [1, 3])
def test_those_of_transducers_and_the_best_path(labels_a_frame):
    units = UnitScores(0.3, 1.0, True)

    def heads(model):
        predictor, joiner = PredictorPart(model), JoinerPart(model)
        return Heads(
            lambda contexts: predictor(torch.from_numpy(contexts)).numpy(),
            lambda *two: joiner(*map(torch.from_numpy, two)).numpy(),
            2,
            units,
        )

    def projected(model, out):
        return model.joiner.encoder_proj(out)[0].numpy()

    greedy = dataclasses.replace(CONFIG, decoding_method="greedy_search", max_sym_per_frame=labels_a_frame, nbest=1)
    both(3, greedy, lambda model, out, _: [greedy_search(heads(model), projected(model, out), labels_a_frame)])
    beam = dataclasses.replace(CONFIG, decoding_method="modified_beam_search")
    both(3, beam, lambda model, out, _: modified_beam_search(heads(model), projected(model, out), 5))
    path = dataclasses.replace(CONFIG, decoding_method="ctc_greedy_search", nbest=1)
    both(3, path, lambda _, out, logits: [ctc_greedy_search(units.of(logits))])


def test_no_frames_have_an_empty_hypothesis():
    (found,) = LabelSearch(0, np.zeros((0, 5), np.float32), None, 3, 2, CONFIG).search()
    assert found == ([], 0.0)
