"""The card of a model claims of it what is so, and is read by hubs as it is meant."""

import pytest

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.results.model_card import CardFacts, model_card

SPEC = FeatureSpec("fbank", "continuous", 16000, 100.0, 0, (), 80)
WEIGHTS = {"epoch": 27, "avg": 6, "iter": 0, "use_averaged_model": True, "checkpoint": ""}
SCORED = {"num_utterances": 6, "wer": {"rate": 50.4321}, "cer": {"rate": 21.5}, "languages": {"no": {}}}


def card(system, decoding, scored=None, weights=WEIGHTS):
    result = {"command": "egs/toy/ASR/run.sh", "sets": {"test": scored or SCORED}, "decoding": {**WEIGHTS, **decoding}}
    return model_card(CardFacts("someone/toy", "mit", system, ["en", "no"], SPEC, result, {}, 10, weights, ""))


def test_what_the_search_had_beside_the_model_is_said():
    text = card("asr", {"method": "modified_beam_search", "lm": "data/lm_ngram", "lodr": "", "context_file": "a/b.txt"})
    assert (
        "Search: modified_beam_search, with the language model lm_ngram and the phrases b.txt (not held here, see the "
        "command below)." in text
    )
    assert "Search: greedy_search.\n" in card("asr", {"method": "greedy_search", "lm": ""})


def test_figures_of_other_weights_are_called_so():
    text = card("asr", {"method": "greedy_search", "epoch": 9, "avg": 2})
    said = "figures of other weights (epoch 9, avg 2, iter 0, use_averaged_model 1) than those that are held here"
    assert said in text and "other weights" not in card("asr", {"method": "greedy_search"})
    assert "other weights" not in card("asr", {"method": "greedy_search"}, None, {**WEIGHTS, "checkpoint": "model.x"})


@pytest.mark.parametrize("system, heard", [("vocoder", True), ("speech_lm", False), ("asr", False)])
def test_whose_words_are_counted(system, heard):
    text = card(system, {"method": "resynthesis"}, {**SCORED, "si_sdr": {"value": 1.23456}})
    assert ("those of a recogniser that hears its audio" in text) == heard
    assert ("| test | SI-SDR dB | 1.23 |" in text) == (system != "asr")


def test_languages_are_texts_and_filter_banks_have_no_codebooks():
    text = card("asr", {"method": "greedy_search"})
    assert '\n- en\n- "no"\n' in text and "| values a frame | 80 |" in text and "codebooks" not in text
