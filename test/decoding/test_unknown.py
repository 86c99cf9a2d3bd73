"""No search finds `<unk>` unless it is asked to, whatever the network thinks of it; and nothing else changes."""

import pytest
import torch
from toy_models import CODES, CONFIG
from toy_transducer import random_model, random_output

from icefall_discrete.base import backend
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.decoding.lm_scorers import ngram_scorer
from icefall_discrete.decoding.methods import METHODS, known_methods
from icefall_discrete.decoding.modified_beam import BeamConfig
from icefall_discrete.decoding.search import search, search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.decoding.streaming_search import StreamingGreedy, StreamingModifiedBeam
from icefall_discrete.decoding.unit_scores import unit_log_probs
from icefall_discrete.lm.arpa import Gram, NgramModel
from icefall_discrete.systems.asr.transducer import build_transducer

UNK = 2
WITHOUT_GRAPH = [
    name
    for name, method in METHODS.items()
    if not method.needs_graph and (method.without_k2 is None or backend.resolve("auto") == "k2")
    if not name.endswith("oracle")
]


def likes_unknown(bonus=6.0):
    """A random model that would often say `<unk>`."""
    model = random_model()
    model.unk_id = UNK
    with torch.no_grad():
        model.joiner.output_linear.bias[UNK] += bonus
        model.ctc_output.bias[UNK] += bonus
        model.attention_decoder.output.bias[UNK] += bonus
    return model


def labels_of(found):
    return [hypothesis.labels for hypothesis in found]


@pytest.mark.parametrize("method", WITHOUT_GRAPH)
def test_unknown_is_found_only_if_asked_for(method):
    model, (out, lens) = likes_unknown(), random_output()
    config = DecodeConfig(max_sym_per_frame=2, blank_penalty=0.3, nbest=3)
    for several in search_nbest(method, model, out, lens, config):
        assert all(UNK not in hypothesis.labels for hypothesis in several)
        assert all(hypothesis.score > float("-inf") for hypothesis in several)
    asked = search(method, model, out, lens, DecodeConfig(emit_unk=True))
    assert any(UNK in labels for labels in labels_of(asked))


@pytest.mark.parametrize("method", WITHOUT_GRAPH)
def test_where_nothing_else_is_likely_the_hypothesis_has_other_labels_or_none(method):
    model, (out, lens) = likes_unknown(bonus=1000.0), random_output()
    assert not any(UNK in labels for labels in labels_of(search(method, model, out, lens, DecodeConfig())))


@pytest.mark.parametrize("method", WITHOUT_GRAPH)
def test_batch_equals_alone_and_a_model_that_never_says_it_finds_the_same(method):
    model, (out, lens) = likes_unknown(), random_output()
    together = search(method, model, out, lens, DecodeConfig())
    for n, hypothesis in enumerate(together):
        alone = search(method, model, out[n : n + 1, : lens[n]], lens[n : n + 1], DecodeConfig())[0]
        assert (alone.labels, alone.timestamps) == (hypothesis.labels, hypothesis.timestamps)
    never = likes_unknown(bonus=-1e4)
    masked, asked = (search(method, never, out, lens, DecodeConfig(emit_unk=emit)) for emit in (False, True))
    assert masked == asked and any(labels_of(asked))


def test_the_log_probabilities_of_the_others_are_what_they_are_beside_it():
    model, logits = likes_unknown(), torch.randn(3, 11)
    kept = logits.clone()
    expected = logits.log_softmax(dim=1)
    found = unit_log_probs(logits, model)
    assert torch.equal(logits, kept)
    others = [unit for unit in range(11) if unit != UNK]
    assert torch.equal(found[:, others], expected[:, others]) and bool((found[:, UNK] == float("-inf")).all())
    assert torch.equal(unit_log_probs(logits, model, emit_unk=True), expected)


def test_a_language_model_that_likes_it_does_not_bring_it_back():
    pieces = ["<blk>", "<sos/eos>", "<unk>", *"abcdefgh"]
    grams = {(piece,): Gram(-0.1 if piece == "<unk>" else -9.0, 0.0) for piece in (*pieces[2:], "</s>")}
    scorer = ngram_scorer(NgramModel([grams]), pieces, "toy", torch.device("cpu"))
    out, lens = random_output()
    for method in (name for name in known_methods() if METHODS[name].takes_scorer):
        found = search(method, likes_unknown(), out, lens, DecodeConfig(), scorer)
        assert not any(UNK in labels for labels in labels_of(found))


def test_streams_find_what_is_found_at_once():
    model, (out, lens) = likes_unknown(), random_output(num=1)
    pairs = [(StreamingGreedy, (), "greedy_search"), (StreamingModifiedBeam, (BeamConfig(),), "modified_beam_search")]
    for kind, settings, method in pairs:
        streaming = kind(model, *settings)
        stream = streaming.open()
        for start in range(0, 15, 5):
            streaming.advance(out[:, start : start + 5], [5], [stream])
        assert streaming.best(stream).labels == search(method, model, out, lens, DecodeConfig())[0].labels
    asking = StreamingGreedy(model, emit_unk=True)
    stream = asking.open()
    asking.advance(out, [15], [stream])
    assert UNK in asking.best(stream).labels


def test_recognisers_know_which_unit_it_is():
    assert build_transducer(CONFIG, CODES, 13, AugmentConfig()).unk_id == UNK
