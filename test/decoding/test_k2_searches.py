import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from torch import nn
from toy_lexicon import PIECES, SPELLINGS, toy_lexicon, toy_model
from toy_transducer import PlantedDecoder, random_model

from icefall_discrete.base import backend
from icefall_discrete.decoding.k2_graphs import write_graphs
from icefall_discrete.decoding.k2_lattices import initial_states
from icefall_discrete.decoding.k2_searches import K2_METHODS, References, n_best, rescore
from icefall_discrete.decoding.methods import k2_methods
from icefall_discrete.decoding.search import search, search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.lm.arpa import Gram, NgramModel
from icefall_discrete.metrics.wer import count_errors
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor

if backend.resolve("auto") != "k2":
    pytest.skip("k2 cannot be imported here", allow_module_level=True)

GRAPH_METHODS = (
    "fast_beam_search_nbest_LG",
    "1best",
    "nbest-rescoring",
    "attention-decoder-rescoring-with-ngram",
)
EVERYTHING = DecodeConfig(
    beam=1000.0, max_contexts=100000, max_states=100000, num_paths=3000, nbest_scale=0.1, nbest=1000
)


def transducer(vocab_size=9, context_size=2, seed=0, sharpness=1.0):
    model = random_model(vocab_size, context_size, seed)
    with torch.no_grad():
        model.joiner.output_linear.weight.mul_(sharpness)
        model.ctc_output.weight.mul_(sharpness)
    return model


def encoded(lens=(13, 0, 7, 1), seed=1):
    torch.manual_seed(seed)
    return torch.randn(len(lens), max(lens), 12), torch.tensor(lens)


def text(labels):
    return "".join(PIECES[label] for label in labels).replace("▁", " ")


@pytest.fixture(scope="module")
def graph_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    toy_lexicon().write(folder)
    (folder / "tokens.txt").write_text("".join(f"{p} {i}\n" for i, p in enumerate(PIECES)), encoding="utf-8")
    write_graphs(folder, toy_lexicon(), toy_model())
    return str(folder)


def step(model, prefix, frame_out):
    """Log-probabilities of the next unit, (V,)."""
    context_size = model.predictor.context_size
    context = ([-1] * (context_size - 1) + [0, *prefix])[-context_size:]
    lm = model.predictor(torch.tensor([context]), need_pad=False)[:, 0]
    return model.joiner(frame_out[None], lm)[0].log_softmax(dim=0).tolist()


@torch.no_grad()
def best_alignment(model, out):
    """Score, labels and frames of the best alignment, of all there are: the best one for each context is kept."""
    best = {(): (0.0, (), ())}
    for frame in range(out.size(0)):
        after = {}
        for score, labels, frames in best.values():
            for unit, nats in enumerate(step(model, labels, out[frame])):
                new = (score + nats, labels + (unit,) * (unit > 0), frames + (frame,) * (unit > 0))
                context = new[1][-model.predictor.context_size :]
                after[context] = max(after.get(context, new), new)
        best = after
    return max(best.values())


@pytest.mark.parametrize("context_size", [1, 2, 3])
def test_fast_beam_search_finds_the_best_alignment(context_size):
    model = transducer(4, context_size)
    out, lens = encoded((9, 0, 6, 1))
    found = search("fast_beam_search", model, out, lens, EVERYTHING)
    assert found[0].timestamps and found[1].labels == [] and found[1].score == 0.0
    for n, hypothesis in enumerate(found):
        score, labels, frames = best_alignment(model, out[n, : lens[n]])
        assert (tuple(hypothesis.labels), tuple(hypothesis.timestamps)) == (labels, frames)
        assert hypothesis.score == pytest.approx(score, abs=1e-4)


def test_the_golden_case_has_its_last_labels():
    with numpy.load(Path(__file__).parents[1] / "assets" / "transducer_head_golden.npz") as arrays:
        golden = {key: torch.from_numpy(numpy.asarray(arrays[key])) for key in arrays}
    model = SimpleNamespace(
        blank_id=0, predictor=StatelessPredictor(37, 40, 0, 2).eval(), joiner=Joiner(64, 40, 48, 37).eval()
    )
    for prefix, module in (("param/decoder.", model.predictor), ("param/joiner.", model.joiner)):
        own = {key[len(prefix) :]: value for key, value in golden.items() if key.startswith(prefix)}
        module.load_state_dict(own, strict=False)
    out, lens = golden["search/encoder_out"], golden["search/encoder_lens"]
    greedy = search("greedy_search", model, out, lens, DecodeConfig())
    fast = search("fast_beam_search", model, out, lens, DecodeConfig())
    # The shortest utterance ends with a label on its last frame.
    assert greedy[2].timestamps[-1] == fast[2].timestamps[-1] == 11
    assert fast[1].labels == golden["search/greedy/1"].tolist() and fast[2].labels == golden["search/greedy/2"].tolist()
    for a, b in zip(fast, greedy):
        assert a.score >= b.score - 1e-4


@torch.no_grad()
def test_nbest_sums_over_all_alignments():
    model = transducer(3, seed=3)
    out, lens = encoded((4, 3))
    lists = search_nbest("fast_beam_search_nbest", model, out, lens, EVERYTHING)
    for n, several in enumerate(lists):
        totals = {}
        for units in itertools.product(range(3), repeat=int(lens[n])):
            labels, score = [], 0.0
            for frame, unit in enumerate(units):
                score += step(model, labels, out[n, frame])[unit]
                labels += [unit] if unit else []
            totals[tuple(labels)] = numpy.logaddexp(totals.get(tuple(labels), -numpy.inf), score)
        assert len(several) > len(totals) / 2 and len({tuple(h.labels) for h in several}) == len(several)
        assert tuple(several[0].labels) == max(totals, key=totals.get)
        for hypothesis in several:
            assert hypothesis.score == pytest.approx(totals[tuple(hypothesis.labels)], abs=1e-4)
        assert [h.score for h in several] == sorted((h.score for h in several), reverse=True)


def test_a_confident_model_is_heard_alike_by_all():
    model = transducer(sharpness=12.0)
    out, lens = encoded((20, 13, 5))
    greedy = search("greedy_search", model, out, lens, DecodeConfig())
    assert min(len(hypothesis.labels) for hypothesis in greedy) > 2
    for method in ("modified_beam_search", "fast_beam_search", "fast_beam_search_nbest"):
        for a, b in zip(search(method, model, out, lens, DecodeConfig()), greedy):
            assert (a.labels, a.timestamps) == (b.labels, b.timestamps) and a.score == pytest.approx(b.score, abs=0.05)


@pytest.mark.parametrize("method", k2_methods())
def test_an_utterance_in_a_batch_gets_what_it_gets_alone(method, graph_dir):
    model = transducer()
    out, lens = encoded((9, 14, 0, 1, 6))
    config = DecodeConfig(graph_dir=graph_dir, blank_penalty=0.3, temperature=1.3, num_paths=50, max_states=20)
    said = [["a"], ["bd", "a"], [], ["acd"], ["a"]] if method.endswith("oracle") else None

    def references(words):
        return References(words, text) if said else None

    together = search(method, model, out, lens, config, references(said))
    assert sum(len(hypothesis.labels) for hypothesis in together) > 3
    for n, hypothesis in enumerate(together):
        alone = references(said[n : n + 1] if said else None)
        single = search(method, model, out[n : n + 1, : lens[n]], lens[n : n + 1], config, alone)[0]
        assert (single.labels, single.timestamps) == (hypothesis.labels, hypothesis.timestamps)
        assert single.score == pytest.approx(hypothesis.score, abs=1e-3)
        assert len(hypothesis.timestamps) == len(hypothesis.labels)
        assert all(0 <= frame < lens[n] for frame in hypothesis.timestamps)


def test_ctc_decoding_is_the_best_path_of_the_head():
    model = transducer()
    out, lens = encoded()
    for penalty in (0.0, 2.0):
        config = DecodeConfig(blank_penalty=penalty)
        greedy = search("ctc_greedy_search", model, out, lens, config)
        for a, b in zip(search("ctc_decoding", model, out, lens, config), greedy):
            assert (a.labels, a.timestamps) == (b.labels, b.timestamps) and a.score == pytest.approx(b.score, abs=1e-4)


@pytest.mark.parametrize("method", GRAPH_METHODS)
def test_a_lexicon_leaves_only_its_words(method, graph_dir):
    model = transducer(seed=5)
    out, lens = encoded((30, 22, 9), seed=2)
    free = search("fast_beam_search" if "LG" in method else "ctc_decoding", model, out, lens, DecodeConfig())
    assert any(set(text(hypothesis.labels).split()) - set(SPELLINGS) for hypothesis in free)
    for hypothesis in search(method, model, out, lens, DecodeConfig(graph_dir=graph_dir, num_paths=30)):
        assert hypothesis.words and set(hypothesis.words) <= set(SPELLINGS)
        assert hypothesis.labels == [label for word in hypothesis.words for label in SPELLINGS[word]]
        assert text(hypothesis.labels).split() == [{"ea": "ec"}.get(word, word) for word in hypothesis.words]


@pytest.mark.parametrize("method, name", [("fast_beam_search_nbest_LG", "ngram_lm_scale"), ("1best", "hlg_scale")])
def test_a_model_of_one_sentence_is_heard_everywhere(method, name, graph_dir, tmp_path):
    sentence = ("<s>", "bd", "a", "acd", "</s>")
    unigrams = {(word,): Gram(-500.0, -500.0) for word in [*SPELLINGS, "<s>", "</s>"]}
    write_graphs(
        tmp_path, toy_lexicon(), NgramModel([unigrams, {pair: Gram(-0.1) for pair in itertools.pairwise(sentence)}])
    )
    for file in ("tokens.txt", "lexicon.txt"):
        (tmp_path / file).write_bytes((Path(graph_dir) / file).read_bytes())
    model = transducer(sharpness=0.2)
    out, lens = encoded((25, 16))
    for folder, is_heard in ((str(tmp_path), True), (graph_dir, False)):
        config = DecodeConfig(graph_dir=folder, num_paths=20, **{name: 1.0})
        found = search(method, model, out, lens, config)
        assert all((hypothesis.words == sentence[1:-1]) == is_heard for hypothesis in found)


def test_an_utterance_too_short_for_a_word_is_no_mistake(graph_dir, tmp_path):
    out, lens = encoded((2, 1, 0))
    for file in ("tokens.txt", "lexicon.txt"):
        (tmp_path / file).write_bytes((Path(graph_dir) / file).read_bytes())
    unigrams = {("ea",): Gram(-1.0), ("<s>",): Gram(-9.0), ("</s>",): Gram(-300.0)}
    bigrams = {("<s>", "ea"): Gram(-1.0), ("ea", "</s>"): Gram(-1.0)}
    write_graphs(tmp_path, toy_lexicon(), NgramModel([unigrams, bigrams]))
    for method in GRAPH_METHODS:
        found = search(method, transducer(), out, lens, DecodeConfig(graph_dir=str(tmp_path), ngram_lm_scale=1.0))
        assert [hypothesis.labels for hypothesis in found] == [[], [], []]
        assert all(-1000.0 < hypothesis.score <= 0.0 for hypothesis in found)


def test_the_oracle_is_never_worse_and_finds_what_is_there():
    model = transducer()
    out, lens = encoded((14, 9, 6))
    config = DecodeConfig(num_paths=100)
    lists = n_best(model, out, lens, config)
    assert min(len(several) for several in lists) > 3
    wanted = [several[3] for several in lists]
    references = References(
        [[str(label) for label in h.labels] for h in wanted], lambda labels: " ".join(map(str, labels))
    )
    found = search("fast_beam_search_nbest_oracle", model, out, lens, config, references)
    assert [hypothesis.labels for hypothesis in found] == [hypothesis.labels for hypothesis in wanted]
    other = dataclasses.replace(references, words=[["3", "4", "5", "8"]] * 3)
    for hypothesis, several in zip(search("fast_beam_search_nbest_oracle", model, out, lens, config, other), lists):
        errors = [count_errors(other.words[0], other.decode(h.labels).split()).errors for h in several]
        assert hypothesis == several[errors.index(min(errors))] and min(errors) < errors[0]


def test_rescoring_weighs_the_head_against_the_grammar(graph_dir):
    model, out_lens = transducer(seed=5), encoded((30, 22), seed=2)
    config = DecodeConfig(graph_dir=graph_dir, num_paths=100, nbest_scale=0.2)
    by_scale = rescore(model, *out_lens, config, [0.0, 1.0, 50.0])
    assert by_scale[0.0] != by_scale[50.0]
    grammar, log_probs = toy_model(), model.ctc_output(out_lens[0]).log_softmax(dim=2).detach()
    for scale, found in by_scale.items():
        for n, hypothesis in enumerate(found):
            labels, length = torch.tensor([hypothesis.labels]), out_lens[1][n : n + 1]
            acoustic = -nn.functional.ctc_loss(
                log_probs[n : n + 1].transpose(0, 1), labels, length, torch.tensor([labels.size(1)]), reduction="sum"
            )
            expected = float(acoustic) + scale * grammar.sentence_log_prob(hypothesis.words)
            assert hypothesis.score == pytest.approx(expected, abs=0.5 * scale + 1e-3)
            best_acoustic = by_scale[0.0][n].score
            assert float(acoustic) <= best_acoustic + 1e-3
    again = search("nbest-rescoring", model, *out_lens, dataclasses.replace(config, rescoring_lm_scale=1.0))
    assert again == by_scale[1.0]


@pytest.mark.parametrize("ngram", ["no", "with"])
def test_the_sentence_that_the_attention_decoder_likes_is_picked(ngram, graph_dir):
    method, model, out_lens = (
        f"attention-decoder-rescoring-{ngram}-ngram",
        transducer(seed=5),
        encoded((30, 22), seed=2),
    )
    config = DecodeConfig(graph_dir=graph_dir, num_paths=100, nbest_scale=0.2, nbest=4, attention_scale=0.0)
    lists = search_nbest(method, model, *out_lens, config)
    if ngram == "with":
        assert [several[0] for several in lists] == search("nbest-rescoring", model, *out_lens, config)
    fourth = lists[0][3]
    assert fourth.score < lists[0][0].score
    model.attention_decoder = PlantedDecoder(fourth.labels)
    best = search(method, model, *out_lens, dataclasses.replace(config, attention_scale=100.0))
    assert (best[0].labels, best[0].timestamps) == (fourth.labels, fourth.timestamps)
    assert best[0].score == pytest.approx(fourth.score, abs=1e-4)
    assert best[1].labels == lists[1][0].labels
    assert best[1].score == pytest.approx(lists[1][0].score - 1000.0, abs=1e-3)


def test_contexts_begin_as_in_training():
    contexts = torch.tensor([[0, 0, 0], [0, 0, 4], [0, 4, 5], [6, 4, 5]], dtype=torch.int32)
    assert initial_states(contexts).tolist() == [[-1, -1, 0], [-1, 0, 4], [0, 4, 5], [6, 4, 5]]
    assert initial_states(torch.tensor([[0], [3]])).tolist() == [[0], [3]]


def test_mistakes_are_explained(graph_dir, tmp_path):
    model, (out, lens) = transducer(), encoded()
    for method, name in zip(GRAPH_METHODS, ("LG.pt", "HLG.pt", "HLG.pt", "HLG.pt")):
        with pytest.raises(ValueError, match=rf"needs {name}; make it with local/compile_graphs\.py, then say --graph"):
            search(method, model, out, lens, DecodeConfig())
        with pytest.raises(FileNotFoundError, match=rf"{name} does not exist; make it with local/compile_graphs\.py"):
            search(method, model, out, lens, DecodeConfig(graph_dir=str(tmp_path)))
    with pytest.raises(ValueError, match=r"tokens\.txt has 9 pieces, but the model has 11 units"):
        search("1best", transducer(11), out, lens, DecodeConfig(graph_dir=graph_dir))
    with pytest.raises(ValueError, match="the graph has label 8, but the model has 7 units"):
        search("1best", transducer(7), out, lens, DecodeConfig(graph_dir=graph_dir))
    with pytest.raises(ValueError, match="needs the References"):
        search("fast_beam_search_nbest_oracle", model, out, lens, DecodeConfig())
    with pytest.raises(ValueError, match="take no scorer"):
        search("fast_beam_search", model, out, lens, DecodeConfig(), object())
    with pytest.raises(ValueError, match="encoder output of utterance 0 of the batch is not finite"):
        search("fast_beam_search", model, out * float("nan"), lens, DecodeConfig())
    model.ctc_output = model.attention_decoder = None
    with pytest.raises(ValueError, match="trained with an attention decoder"):
        search("attention-decoder-rescoring-no-ngram", model, out, lens, DecodeConfig())
    with pytest.raises(ValueError, match="trained with a CTC loss"):
        search("ctc_decoding", model, out, lens, DecodeConfig())
    with pytest.raises(ValueError, match="max_states is 0, expected a whole number of at least 1"):
        DecodeConfig(max_states=0)


def test_every_promised_method_is_there():
    assert list(K2_METHODS) == k2_methods()
