"""Scorers agree with their plain definitions, one label after another and within a search."""

import functools
import itertools
import random

import pytest
import torch
from plain_search import plain_modified_beam_search
from toy_transducer import random_model, random_output

from icefall_discrete.decoding.hotwords import Phrase, hotword_scorer, read_context_file
from icefall_discrete.decoding.lm_scorers import NeuralScorer, ngram_scorer
from icefall_discrete.decoding.scorer import SumScorer
from icefall_discrete.decoding.search import search, search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.lm.arpa import Gram, NgramModel
from icefall_discrete.lm.neural import MODELS, NeuralLmConfig
from icefall_discrete.lm.ngram import estimate_ngram

V = 11
CPU = torch.device("cpu")
PIECES = ["<blk>", "<sos/eos>", "<unk>", *"abcdefgh"]


def totals(scorer, rows, utterance=0):
    """What a scorer adds to each of `rows` (M, U) label by label (M,), and at the end (M,)."""
    rows = torch.as_tensor(rows, dtype=torch.int64)
    state, scores = scorer.start(torch.full((len(rows),), utterance))
    total = torch.zeros(len(rows))
    for labels in rows.T:
        total += scores.gather(1, labels.unsqueeze(1)).squeeze(1)
        state, scores = scorer.advance(state, labels)
    return total, scorer.final(state)


def total_of(scorer, labels, utterance=0):
    """What a scorer adds to a transcript."""
    return sum(totals(scorer, [list(labels)], utterance)).item()


def sum_over_occurrences(phrases, labels):
    return sum(
        len(phrase.labels) * phrase.score
        for phrase in phrases
        for start in range(len(labels))
        if tuple(labels[start : start + len(phrase.labels)]) == phrase.labels
    )


NESTED = [Phrase((1, 2), 1.0), Phrase((2, 3), 0.5), Phrase((1, 2, 3, 1), 2.0), Phrase((2,), 0.25), Phrase((1, 1), 4.0)]


def test_phrases_earn_exactly_their_scores_in_every_transcript():
    scorer = hotword_scorer([NESTED], V, CPU)
    earned = set()
    for size in range(7):
        rows = list(itertools.product((1, 2, 3), repeat=size))
        expected = [sum_over_occurrences(NESTED, labels) for labels in rows]
        assert sum(totals(scorer, [list(labels) for labels in rows])).tolist() == pytest.approx(expected, abs=1e-4)
        earned.update(expected)
    assert len(earned) > 40


def test_a_phrase_is_paid_in_advance_and_taken_back():
    scorer = hotword_scorer([[Phrase((4, 5, 6), 2.0)]], V, CPU)
    state, scores = scorer.start(torch.tensor([0]))
    steps = []
    for label in (4, 5, 7):
        steps.append(scores[0, label].item())
        state, scores = scorer.advance(state, torch.tensor([label]))
    assert steps == [2.0, 2.0, -4.0]
    assert scorer.final(state).item() == 0.0


def test_random_phrases_with_their_own_list_for_each_utterance():
    generator = random.Random(1)
    lists = [
        [Phrase(tuple(generator.choices(range(1, 5), k=generator.randint(1, 5))), i + 1.0) for i in range(6)]
        for _ in range(3)
    ]
    lists = [[Phrase(*pair) for pair in dict(phrases).items()] for phrases in lists]
    scorer = hotword_scorer([*lists, []], V, CPU, [2, 0, 3, 1])
    rows = [generator.choices(range(1, 5), k=12) for _ in range(150)]
    for utterance, index in enumerate([2, 0, 3, 1]):
        expected = [sum_over_occurrences([*lists, []][index], labels) for labels in rows]
        assert sum(totals(scorer, rows, utterance)).tolist() == pytest.approx(expected, abs=1e-3)


def test_phrases_change_a_search_as_they_change_the_plain_one():
    model = random_model()
    out, lens = random_output()
    phrases = [[Phrase((3, 7), 6.5), Phrase((9, 3, 2), 5.0), Phrase((9,), 3.0)], [Phrase((5,), 7.0)]]
    scorer = hotword_scorer(phrases, V, CPU, [0, 1, 0, 1])

    @functools.cache
    def after(n, prefix):
        state, scores = scorer.start(torch.tensor([n]))
        for label in prefix:
            state, scores = scorer.advance(state, torch.tensor([label]))
        return scores[0].tolist(), scorer.final(state).item()

    expected = plain_modified_beam_search(
        model, out, lens, 4, lambda n, prefix, unit: after(n, prefix)[0][unit], lambda n, prefix: after(n, prefix)[1]
    )
    found = search_nbest("modified_beam_search", model, out, lens, DecodeConfig(nbest=4), scorer)
    plain = search("modified_beam_search", model, out, lens, DecodeConfig())
    assert sum(hypotheses[0].labels != h.labels for hypotheses, h in zip(found, plain)) >= 2
    for ours, theirs in zip(found, expected):
        assert [h.labels for h in ours] == [h.labels for h in theirs]
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-3)


def ngram_model(order, seed=0):
    generator = random.Random(seed)
    text = [generator.choices("abcdef", [8, 4, 2, 1, 1, 1], k=generator.randint(1, 9)) for _ in range(40)]
    return estimate_ngram(text, order, [*"abcdefgh"])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_ngram_scores_are_those_of_the_model(order):
    model = ngram_model(order)
    scorer = ngram_scorer(model, PIECES, "lm.arpa", CPU)
    generator = random.Random(2)
    for _ in range(40):
        labels = generator.choices(range(3, V), [8, 4, 2, 1, 1, 1, 1, 1], k=generator.randint(0, 8))
        state, scores = scorer.start(torch.tensor([0]))
        seen = ["<s>"]
        for label in [*labels, None]:
            expected = [model.log_prob(seen, piece) for piece in ("</s>", *PIECES[2:])]
            assert scores[0, 1:].tolist() == pytest.approx(expected, abs=1e-4)
            if label is not None:
                seen.append(PIECES[label])
                state, scores = scorer.advance(state, torch.tensor([label]))


def test_language_models_score_the_end_where_it_is_something_that_is_said():
    model, rows = ngram_model(3), [[3], [4, 4, 10], [3, 4, 3, 3, 8], []]
    torch.manual_seed(4)
    neural = MODELS["transformer"](NeuralLmConfig(lm_dim=16, lm_layers=1, lm_heads=2, lm_context=4), V).eval()
    scored = ngram_scorer(model, PIECES, "lm.arpa", CPU, scores_end=True), NeuralScorer(neural, scores_end=True)
    plain = ngram_scorer(model, PIECES, "lm.arpa", CPU), NeuralScorer(neural)
    for labels in rows:
        text = ["<s>", *(PIECES[label] for label in labels)]
        log_probs = neural(torch.tensor([[1, *labels]]))[0, -1].log_softmax(dim=0)
        expected = model.log_prob(text, "</s>"), log_probs[1].item()
        for scorer, other, end in zip(scored, plain, expected):
            assert totals(scorer, [labels])[1].item() == pytest.approx(end, abs=1e-4)
            assert totals(other, [labels])[1].item() == 0.0
            torch.testing.assert_close(totals(scorer, [labels])[0], totals(other, [labels])[0])


def test_ngrams_with_weights_on_contexts_that_nothing_follows():
    """Pruned models have such: the weight is paid on the way down, whichever contexts are states."""
    unigrams = {(token,): Gram(-1.0 - i, -0.5) for i, token in enumerate(("<s>", "</s>", "a", "b", "c"))}
    bigrams = {("a", "b"): Gram(-0.3, -0.7), ("b", "c"): Gram(-0.2, -0.1)}
    model = NgramModel([unigrams, bigrams, {("a", "b", "a"): Gram(-0.4)}])
    scorer = ngram_scorer(model, PIECES, "lm.arpa", CPU)
    for labels in itertools.product((3, 4, 5), repeat=4):
        text = [PIECES[label] for label in labels]
        expected = sum(model.log_prob(["<s>", *text[:i]], text[i]) for i in range(4))
        assert total_of(scorer, labels) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_neural_scores_step_by_step_are_those_of_the_whole_sentence(kind):
    torch.manual_seed(0)
    config = NeuralLmConfig(lm_dim=16, lm_layers=2, lm_heads=2, lm_context=4)
    model = MODELS[kind](config, V).eval()
    labels = torch.randint(3, V, (5, 9))
    whole = model(torch.cat([torch.ones(5, 1, dtype=torch.int64), labels], dim=1)).log_softmax(dim=2)
    scorer = NeuralScorer(model)
    state, scores = scorer.start(torch.arange(5))
    order = torch.arange(5)
    for place in range(9):
        torch.testing.assert_close(scores, whole[order, place], atol=1e-5, rtol=1e-4)
        shuffled = torch.randperm(5)  # prefixes change places in a beam
        order, state = order[shuffled], tuple(tensor[shuffled] for tensor in state)
        state, scores = scorer.advance(state, labels[order, place])
    torch.testing.assert_close(scores, whole[order, 9], atol=1e-5, rtol=1e-4)


def make_sum():
    torch.manual_seed(3)
    neural = MODELS["lstm"](NeuralLmConfig(lm_dim=16, lm_layers=1), V)
    parts = [NeuralScorer(neural), ngram_scorer(ngram_model(2), PIECES, "lm.arpa", CPU)]
    return SumScorer([*parts, hotword_scorer([NESTED], V, CPU)], [2.0, -0.5, 1.0]), parts


def test_a_sum_is_the_weighted_sum():
    scorer, (neural, ngram) = make_sum()
    for labels in ([], [3], [1, 2, 3, 1], [10, 4, 4, 5, 2]):
        expected = 2.0 * total_of(neural, labels) - 0.5 * total_of(ngram, labels)
        assert total_of(scorer, labels) == pytest.approx(expected + sum_over_occurrences(NESTED, labels), abs=1e-3)
    with pytest.raises(ValueError, match="a sum of 1 scorers was given 2 scales"):
        SumScorer([neural], [1.0, 2.0])


@pytest.mark.parametrize("method", ["modified_beam_search", "ctc_prefix_beam_search", "joint_beam_search"])
def test_with_scorers_too_a_batch_gives_what_an_utterance_gets_alone(method):
    model = random_model()
    out, lens = random_output()
    scorer, _ = make_sum()
    together = search(method, model, out, lens, DecodeConfig(), scorer)
    assert [h.labels for h in together] != [h.labels for h in search(method, model, out, lens, DecodeConfig())]
    for n, hypothesis in enumerate(together):
        alone = search(method, model, out[n : n + 1, : lens[n]], lens[n : n + 1], DecodeConfig(), scorer)[0]
        assert (alone.labels, alone.timestamps) == (hypothesis.labels, hypothesis.timestamps)
        assert alone.score == pytest.approx(hypothesis.score, abs=1e-3)


@pytest.mark.parametrize("method", ["modified_beam_search", "ctc_prefix_beam_search", "joint_beam_search"])
def test_a_model_that_knows_one_sentence_makes_the_search_find_it(method):
    sentence = [4, 9, 3, 3, 8]
    by_label = method == "joint_beam_search"  # which says the end, too
    whole = ("<s>", *(PIECES[label] for label in sentence), *(["</s>"] if by_label else []))
    grams = [{(piece,): Gram(-5000.0) for piece in ("<s>", "</s>", "<unk>", *"abcdefgh")}]
    grams += [{whole[: size + 1]: Gram(0.0)} for size in range(1, len(whole))]
    scorer = ngram_scorer(NgramModel(grams), PIECES, "lm.arpa", CPU, scores_end=by_label)
    out, _ = random_output(num=1, num_frames=30)
    config = DecodeConfig(beam_size=8, blank_penalty=5.0)
    assert search(method, random_model(), out, torch.tensor([30]), config)[0].labels != sentence
    assert search(method, random_model(), out, torch.tensor([30]), config, scorer)[0].labels == sentence


def test_pieces_of_another_model_are_refused():
    with pytest.raises(ValueError, match=r"some/lm\.arpa has the token '.' \(and 2 others\) which the experiment's"):
        ngram_scorer(ngram_model(2), PIECES[:-3], "some/lm.arpa", CPU)


def encode(text):
    return [PIECES.index(letter) if letter in PIECES else 2 for letter in text.replace(" ", "")]


def test_context_files(tmp_path):
    path = tmp_path / "phrases.txt"
    path.write_text("ab c\n\nfed :3.5\nab c\n", encoding="utf-8")
    phrases = read_context_file(path, encode, 2.0, 2)
    assert phrases.shared == [Phrase((3, 4, 5), 2.0), Phrase((8, 7, 6), 3.5), Phrase((3, 4, 5), 2.0)]
    assert total_of(phrases.scorer(["any"], V, CPU), [3, 4, 5, 8, 7, 6]) == pytest.approx(6.0 + 10.5)
    path = tmp_path / "phrases.json"
    path.write_text('{"*": ["ab"], "cut-7": ["ba :1.0"]}')
    scorer = read_context_file(path, encode, 2.0, 2).scorer(["cut-1", "cut-7"], V, CPU)
    assert [total_of(scorer, [3, 4, 3], n) for n in (0, 1)] == pytest.approx([4.0, 6.0])


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.txt", "\n", "holds no phrase"),
        ("a.txt", "ab\nxyz\n", "'xyz' has characters that the model has no pieces for"),
        ("a.txt", "ab :much", "the score of 'ab :much' is 'much'"),
        ("a.json", '["ab"]', "expected an object such as"),
    ],
)
def test_mistakes_in_context_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_context_file(tmp_path / name, encode, 2.0, 2)
    with pytest.raises(FileNotFoundError, match=r"none\.txt does not exist"):
        read_context_file(tmp_path / "none.txt", encode, 2.0, 2)
    with pytest.raises(ValueError, match="a phrase has labels"):
        hotword_scorer([[Phrase((0, 3), 1.0)]], V, CPU)
