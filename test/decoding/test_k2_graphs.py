import itertools
import math

import pytest
import torch
from toy_lexicon import SPELLINGS, toy_lexicon, toy_model

from icefall_discrete.base import backend
from icefall_discrete.base.guarded_pickle import read_checkpoint
from icefall_discrete.decoding import k2_graphs
from icefall_discrete.lm.arpa import Gram, NgramModel

if backend.resolve("auto") != "k2":
    pytest.skip("k2 cannot be imported here", allow_module_level=True)

k2 = backend.k2_module()
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    k2_graphs.write_graphs(folder, toy_lexicon(), toy_model())
    return folder


def best_score(graph, labels):
    """Score of the best path that reads `labels`, epsilon-free; -inf if there is none."""
    plain = k2.Fsa(graph.arcs.clone())
    both = k2.connect(k2.intersect(k2.arc_sort(plain), k2.linear_fsa(labels), treat_epsilons_specially=False))
    if both.num_arcs == 0:
        return -math.inf
    return float(k2.create_fsa_vec([both]).get_tot_scores(use_double_scores=True, log_semiring=False)[0])


def best_way(model, context, tokens):
    """Nats of tokens where backing off is free to choose, as in a graph without failure arcs."""
    if not tokens:
        return 0.0
    ways = []
    gram = model.grams[len(context)].get((*context, tokens[0]))
    if gram is not None:
        after = (*context, tokens[0])[max(0, len(context) + 2 - model.order) :]
        ways.append(gram.log_prob + best_way(model, after if model.order > 1 else (), tokens[1:]))
    if context:
        paid = model.grams[len(context) - 1].get(context, Gram(0.0)).backoff
        ways.append(paid + best_way(model, context[1:], tokens))
    return max(ways, default=-math.inf)


def of_model(model, words):
    return best_way(model, ("<s>",) if model.order > 1 else (), (*words, "</s>"))


def spelt(words):
    return [label for word in words for label in SPELLINGS[word]]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_lg_scores_sentences_as_the_model_does(order, tmp_path):
    model = toy_model(order)
    k2_graphs.write_graphs(tmp_path, toy_lexicon(), model)
    lg = k2_graphs.load_graph(tmp_path / "LG.pt")
    assert not (lg.labels == 0).any()
    for words in itertools.chain(*(itertools.product(SPELLINGS, repeat=size) for size in (1, 2))):
        found = best_score(lg, spelt(words))
        assert found == pytest.approx(of_model(model, words), abs=1e-3), words
        exact = model.sentence_log_prob(words)
        assert found >= exact - 1e-3 and (order == 3 or found == pytest.approx(exact, abs=1e-3))


def test_lg_reads_nothing_but_words(folder):
    lg = k2_graphs.load_graph(folder / "LG.pt")
    for labels in ([5], [4], [3, 6], [7, 8], [1], [2], [3, 5, 6, 6]):
        assert best_score(lg, labels) == -math.inf
    assert best_score(lg, [3, 5, 6, 4, 6]) > -math.inf


def test_hlg_scores_frames_as_their_labels(folder):
    hlg, model = k2_graphs.load_graph(folder / "HLG.pt"), toy_model()
    frames = k2.linear_fsa([0, 3, 3, 0, 5, 5, 6, 0, 3, 0, 3, 0])
    both = k2.connect(k2.intersect(k2.arc_sort(hlg), frames, treat_epsilons_specially=False))
    path = k2.shortest_path(k2.create_fsa_vec([both]), use_double_scores=True)
    words = ("acd", "a", "a")
    score = path.get_tot_scores(use_double_scores=True, log_semiring=False)[0]
    assert float(score) == pytest.approx(of_model(model, words), abs=1e-3)
    assert path.tokens[path.tokens > 0].tolist() == [3, 5, 6, 3, 3]
    table = toy_lexicon().word_table()
    assert path.aux_labels.remove_values_leq(0).values.tolist() == [table[word] for word in words]


def test_an_ending_changes_no_score(folder):
    for name, labels in (("LG.pt", [3, 4, 6]), ("HLG.pt", [0, 3, 3, 0, 4, 6, 6])):
        before = best_score(k2_graphs.load_graph(folder / name), labels)
        ended = k2_graphs.search_graph(k2_graphs.load_graph(folder / name), 9, 0.5, True, CPU)
        assert best_score(ended, [*labels, 9]) == pytest.approx(before * 0.5, abs=1e-4)
        assert best_score(ended, [*labels[:-2], 10]) > -math.inf == best_score(ended, labels)
        without = k2_graphs.search_graph(k2_graphs.load_graph(folder / name), 9, 0.5, False, CPU)
        assert best_score(without, [*labels[:-2], 10]) == -math.inf


def test_ngrams_of_unknown_words_are_left_out(tmp_path):
    grams = toy_model(2).grams
    grams[0][("zebra",)] = Gram(-0.1, -0.2)
    grams[1][("zebra", "a")], grams[1][("a", "zebra")] = Gram(-0.1), Gram(-0.1)
    k2_graphs.write_graphs(tmp_path / "b", toy_lexicon(), NgramModel(grams))
    k2_graphs.write_graphs(tmp_path / "a", toy_lexicon(), toy_model(2))
    assert (tmp_path / "a" / "LG.pt").stat().st_size == (tmp_path / "b" / "LG.pt").stat().st_size


def test_a_file_keeps_every_arc_and_attribute(tmp_path):
    lexicon, disambiguated = k2_graphs.lexicon_fsts(toy_lexicon())
    table = toy_lexicon().word_table()
    grammar = k2_graphs.grammar_fst(toy_model(), table)
    lg = k2_graphs.compile_lg(disambiguated, grammar, toy_lexicon().vocab_size, table["#0"], push=False)
    made = (lexicon, disambiguated, grammar, lg, k2_graphs.compile_hlg(lg, toy_lexicon().vocab_size))
    for number, graph in enumerate(made):
        k2_graphs.save_graph(graph, tmp_path / "graph.pt")
        found, expected = k2_graphs.load_graph(tmp_path / "graph.pt").as_dict(), graph.as_dict()
        assert torch.equal(found.pop("arcs"), expected.pop("arcs"))
        for name in set(expected) - {"labels_version"}:
            one, other = found[name], expected[name]
            if not isinstance(other, torch.Tensor):
                assert one.num_axes == other.num_axes == 2
                assert torch.equal(one.shape.row_splits(1), other.shape.row_splits(1))
                one, other = one.values, other.values
            assert one.dtype == other.dtype and torch.equal(one, other), (number, name)
        assert found.keys() == expected.keys()


def test_older_files_name_the_stage_that_makes_them_anew(folder, tmp_path):
    for name in ("L.pt", "G.pt", "LG.pt", "HLG.pt"):
        torch.save(k2_graphs.load_graph(folder / name).as_dict(), tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name} is not a graph that can be read: .*local/compile_graphs\.py"):
            k2_graphs.load_graph(tmp_path / name)


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts["arcs"].__setitem__((0, 1), 2**31 - 1),
        lambda parts: parts["arcs"].__setitem__((0, 1), -5),
        lambda parts: parts["arcs"].__setitem__((0, 0), 7),
        lambda parts: parts["arcs"].__setitem__((0, 2), -9),
        lambda parts: parts["arcs"][:, 2].clamp_(min=0),
        lambda parts: parts.update(arcs=parts["arcs"].float()),
        lambda parts: parts.update(arcs=parts["arcs"][:0]),
        lambda parts: parts.update(format=1),
        lambda parts: parts.update(attributes=[]),
        lambda parts: parts["attributes"].update(tokens=torch.zeros(3)),
        lambda parts: parts["attributes"].update(_cache=torch.zeros(len(parts["arcs"]))),
        lambda parts: parts["attributes"].update(aux_labels={"values": torch.zeros(3, dtype=torch.int32)}),
        lambda parts: parts["attributes"]["aux_labels"]["row_splits"].__setitem__(1, 2**30),
        lambda parts: parts["attributes"]["aux_labels"]["row_splits"].__setitem__(-1, 2**30),
    ],
)
def test_what_would_lead_k2_astray_is_refused(folder, tmp_path, change):
    parts = read_checkpoint(folder / "LG.pt")
    change(parts)
    torch.save(parts, tmp_path / "LG.pt")
    with pytest.raises(ValueError, match=r"LG\.pt is not a graph that can be read: .*compile_graphs"):
        k2_graphs.load_graph(tmp_path / "LG.pt")


def test_mistakes_are_explained(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"LG\.pt does not exist; make it with local/compile_graphs\.py"):
        k2_graphs.load_graph(tmp_path / "LG.pt")
    (tmp_path / "LG.pt").write_bytes(b"what")
    with pytest.raises(ValueError, match=r"LG\.pt is not a graph"):
        k2_graphs.load_graph(tmp_path / "LG.pt")
    with pytest.raises(ValueError, match="the graph has label 8, but the model has 8 units"):
        k2_graphs.search_graph(k2_graphs.load_graph(folder / "LG.pt"), 8, 1.0, False, CPU)
    pieces = NgramModel([{("▁a",): Gram(-1.0), ("<s>",): Gram(-9.0)}])
    with pytest.raises(ValueError, match="the n-gram model knows no word of the lexicon"):
        k2_graphs.write_graphs(tmp_path, toy_lexicon(), pieces)
