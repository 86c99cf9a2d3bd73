"""Mixtures of n-gram models: distributions with the mixed probabilities, weighed by held-out text."""

import itertools
import math
import random

import pytest

from icefall_discrete.lm.arpa import END, START, UNKNOWN, perplexity, read_arpa, write_arpa
from icefall_discrete.lm.mixture import best_weights, estimate_mixture, mixed
from icefall_discrete.lm.ngram import estimate_ngram

TOKENS = list("abcdef")


def sentences(number, favoured, seed):
    """Sentences in which each token is most often followed by the one `favoured` places on."""
    generator = random.Random(seed)
    found = []
    for _ in range(number):
        sentence = [generator.choice(TOKENS)]
        while generator.random() < 0.8:
            next_token = TOKENS[(TOKENS.index(sentence[-1]) + favoured) % len(TOKENS)]
            sentence.append(next_token if generator.random() < 0.7 else generator.choice(TOKENS))
        found.append(sentence)
    return found


SMALL, LARGE = sentences(20, 1, seed=0), sentences(300, 2, seed=1)
HELD_OUT = [*sentences(60, 1, seed=2), *sentences(15, 2, seed=3)]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_mixture_is_a_distribution_after_any_context(order):
    models = [estimate_ngram(text, order, TOKENS) for text in (SMALL, LARGE)]
    model = mixed(models, [0.3, 0.7])
    outcomes = [*TOKENS, END, UNKNOWN]
    for context in [(), *((token,) for token in (START, *TOKENS)), *itertools.product([START, *TOKENS], TOKENS)]:
        assert sum(math.exp(model.log_prob(context, token)) for token in outcomes) == pytest.approx(1.0, abs=1e-9)
    assert model.order == order


def test_every_ngram_of_either_text_has_its_mixed_probability():
    first, second = (estimate_ngram(text, 3, TOKENS) for text in (SMALL, LARGE))
    model = mixed([first, second], [0.25, 0.75])
    for ngram in {**first.grams[2], **second.grams[2]}:
        expected = sum(w * math.exp(m.log_prob(ngram[:-1], ngram[-1])) for w, m in ((0.25, first), (0.75, second)))
        assert math.exp(model.log_prob(ngram[:-1], ngram[-1])) == pytest.approx(expected, rel=1e-9)


def test_weights_are_the_best_and_the_mixture_beats_both_texts_and_their_sum():
    model, weights = estimate_mixture([SMALL, LARGE], HELD_OUT, 3, TOKENS)
    assert sum(weights) == pytest.approx(1.0) and weights[0] > 0.5  # the small text is of the held-out kind
    alone = [estimate_ngram(text, 3, TOKENS) for text in (SMALL, LARGE, [*SMALL, *LARGE])]
    least = perplexity(model, HELD_OUT)
    assert least < min(perplexity(other, HELD_OUT) for other in alone)
    for step in (-0.1, 0.1):
        moved = [weights[0] + step, weights[1] - step]
        assert least <= perplexity(mixed(alone[:2], moved), HELD_OUT) + 1e-3


def test_a_token_of_one_text_alone_has_a_probability_in_both():
    model, weights = estimate_mixture([SMALL, [*LARGE, ["z", "a"]]], [*HELD_OUT, ["z", "a"]], 2, TOKENS)
    assert ("z",) in model.grams[0] and all(weight > 0 for weight in weights)
    assert model.log_prob(("z",), "a") > model.log_prob(("z",), "b")


def test_one_text_is_its_own_model_and_a_mixture_is_an_arpa_file(tmp_path):
    model, weights = estimate_mixture([SMALL], [], 3, TOKENS)
    assert weights == [1.0] and model.grams == estimate_ngram(SMALL, 3, TOKENS).grams
    mixture = estimate_mixture([SMALL, LARGE], HELD_OUT, 3, TOKENS).model
    write_arpa(tmp_path / "lm.arpa", mixture)
    read = read_arpa(tmp_path / "lm.arpa")
    assert perplexity(read, HELD_OUT) == pytest.approx(perplexity(mixture, HELD_OUT), rel=1e-5)


def test_nothing_held_out_is_a_sentence():
    models = [estimate_ngram(text, 2, TOKENS) for text in (SMALL, LARGE)]
    with pytest.raises(ValueError, match="there is no held-out text to weigh language models by"):
        best_weights(models, [])


@pytest.mark.parametrize("mark", [START, END])
def test_a_mark_of_an_end_within_what_is_held_out_is_refused(mark):
    with pytest.raises(ValueError, match="which mark the ends of sentences"):
        estimate_mixture([SMALL, LARGE], [["a", mark, "b"]], 2, TOKENS)


def test_a_text_that_says_nothing_of_what_is_held_out_has_next_to_no_weight_and_does_no_harm():
    far = [["f"] * 40] * 50
    model, weights = estimate_mixture([SMALL, far], [["a", "b"], ["b", "c"]] * 50, 2, TOKENS)
    assert 0.0 < weights[1] < 0.05 and sum(weights) == pytest.approx(1.0)
    assert sum(math.exp(model.log_prob((START,), token)) for token in (*TOKENS, END, UNKNOWN)) == pytest.approx(1.0)
