"""Which of a teacher's hypotheses are learnt from: each published filter, and what is said of those that are not."""

import pytest
from lhotse import MonoCut, SupervisionSegment

from icefall_discrete.systems.asr.self_training import Guess, PseudoFilterConfig, choose_guesses, most_repeats

NONE = PseudoFilterConfig(max_repeats=0, require_end=False)


def cut_of(name, duration=2.0):
    said = SupervisionSegment(name, name, 0.0, duration, text="never looked at", language="en")
    return MonoCut(name, 0.0, duration, 0, supervisions=[said])


def guess(text, score=-2.0, confidence=0.9, word=0.8, at_limit=False):
    return Guess(text, score, max(1, len(text.split())), confidence, word, at_limit)


def reasons(guesses, config, duration=2.0):
    cuts = [cut_of(name, duration) for name in guesses]
    chosen = choose_guesses(cuts, {name: one for name, one in guesses.items() if one is not None}, config)
    return {name: reason for reason, names in chosen.dropped.items() for name in names}, set(chosen.kept)


def test_rows_of_words_are_counted():
    assert most_repeats(list("abcdabcdabcd"), 4) == 3
    assert most_repeats(list("abc"), 4) == 0 and most_repeats(list("aaaaa"), 4) == 2


def test_what_is_empty_or_unheard_is_always_dropped():
    dropped, kept = reasons({"a": guess("some words"), "b": guess(""), "c": None}, NONE)
    assert kept == {"a"} and dropped == {"b": "nothing was recognised", "c": "too short for the model"}


@pytest.mark.parametrize(
    "bad, config, reason",
    [
        (guess("a b c d a b c d a b c d"), PseudoFilterConfig(), "4 words in a row occur more than 2 times"),
        (guess("good words", at_limit=True), PseudoFilterConfig(), "the search broke off at its limit of length"),
        (guess("good words", confidence=0.4), PseudoFilterConfig(min_confidence=0.5), "confidence below 0.5"),
        (guess("good words", word=0.1), PseudoFilterConfig(min_word_confidence=0.2), "a word's confidence below 0.2"),
        (
            guess("x"),
            PseudoFilterConfig(max_length_ratio=2.0),
            "more than 2 times as many or few letters a second as usual",
        ),
    ],
)
def test_each_filter_drops_what_it_is_for_and_nothing_else(bad, config, reason):
    dropped, kept = reasons({"a": guess("good words"), "b": guess("fine words"), "bad": bad}, config)
    assert dropped == {"bad": reason} and kept == {"a", "b"}
    assert reasons({"a": guess("good words"), "b": guess("fine words"), "bad": bad}, NONE)[1] == {"a", "b", "bad"}


def test_the_best_share_is_by_score_a_label():
    guesses = {"long": guess("a b c d e f g h i", score=-5.0), "bad": guess("a", score=-4.0), "good": guess("a b")}
    dropped, kept = reasons(guesses, PseudoFilterConfig(keep_share=0.6, max_repeats=0))
    assert kept == {"long", "good"} and dropped == {"bad": "not among the 60% of the best score per label"}


def test_a_ratio_below_one_is_refused():
    with pytest.raises(ValueError, match=r"max_length_ratio is 0\.5, expected 1 or more, or 0 for any number"):
        PseudoFilterConfig(max_length_ratio=0.5)
