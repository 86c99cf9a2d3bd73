"""Rescoring with the attention decoder: the planted best is picked, scores are sums, other models are refused."""

import dataclasses

import pytest
import torch
from toy_transducer import PlantedDecoder, random_model, random_output

from icefall_discrete.decoding.attention_rescoring import attention_scores, rescored
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.methods import PREFIXES_RESCORED
from icefall_discrete.decoding.search import search, search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.systems.asr.decoding_files import decoding_suffix

CONFIG = DecodeConfig(decoding_method=PREFIXES_RESCORED, beam_size=5, nbest=5, emit_unk=True)


def test_the_planted_text_is_picked():
    model, (out, lens) = random_model(), random_output(3, 9)
    lists = search_nbest("ctc_prefix_beam_search", model, out, lens, CONFIG)
    planted = lists[0][3].labels
    model.attention_decoder = PlantedDecoder(planted)
    best, *_ = search(PREFIXES_RESCORED, model, out, lens, CONFIG)
    assert best.labels == planted and best.score == pytest.approx(lists[0][3].score)
    without = dataclasses.replace(CONFIG, attention_scale=0.0)
    assert search_nbest(PREFIXES_RESCORED, model, out, lens, without) == lists


def test_scores_are_sums_and_batching_changes_nothing():
    model, (out, lens) = random_model(), random_output(3, 9)
    lists = search_nbest("ctc_prefix_beam_search", model, out, lens, CONFIG)
    acoustic = [{tuple(one.labels): one.score for one in several} for several in lists]
    config = dataclasses.replace(CONFIG, attention_scale=0.5, nbest=3)
    found = search_nbest(PREFIXES_RESCORED, model, out, lens, config)
    for n, several in enumerate(found):
        decoder, sentences = model.attention_decoder, [one.labels for one in several]
        attention = attention_scores(decoder, out, lens, sentences, [n] * len(sentences))
        expected = [acoustic[n][tuple(one.labels)] + 0.5 * score for one, score in zip(several, attention)]
        assert [one.score for one in several] == pytest.approx(expected, abs=1e-4)
        assert expected == sorted(expected, reverse=True) and len(several) == 3
        (alone,) = search_nbest(PREFIXES_RESCORED, model, out[n : n + 1, : lens[n]], lens[n : n + 1], config)
        assert [one.labels for one in alone] == sentences
        assert [one.score for one in alone] == pytest.approx(expected, abs=1e-4)


def test_several_scales_at_the_cost_of_one():
    lists = [[Hypothesis([3], [0], -1.0), Hypothesis([4], [1], -2.0)], []]
    by_scale = rescored(PlantedDecoder([4]), torch.randn(2, 3, 4), torch.tensor([3, 2]), lists, [0.0, 0.05, 1.0])
    assert [several[0][0].labels for several in by_scale] == [[3], [3], [4]]
    assert by_scale[2][1] == [] and by_scale[2][0][1].score == pytest.approx(-11.0)


def test_a_model_without_the_heads_is_refused():
    model, (out, lens) = random_model(), random_output(3, 9)
    model.attention_decoder = None
    with pytest.raises(ValueError, match=rf"^{PREFIXES_RESCORED} needs a model that was trained with an attention"):
        search(PREFIXES_RESCORED, model, out, lens, CONFIG)
    model.ctc_output = None
    with pytest.raises(ValueError, match="was trained with a CTC loss"):
        search(PREFIXES_RESCORED, model, out, lens, CONFIG)


def test_file_names_state_the_scale():
    assert decoding_suffix("epoch-2", False, dataclasses.replace(CONFIG, emit_unk=False), 2) == (
        f"epoch-2__{PREFIXES_RESCORED}__beam-size-5_attention-scale-1.0_nbest-5"
    )
