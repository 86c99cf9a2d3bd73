"""n-gram models: they are distributions, agree with a plain formula, and come through an ARPA file unchanged."""

import gzip
import itertools
import math
import random
from collections import Counter

import pytest

from icefall_discrete.lm.arpa import END, START, UNKNOWN, NgramModel, perplexity, read_arpa, write_arpa
from icefall_discrete.lm.ngram import FALLBACK_DISCOUNTS, estimate_ngram

TOKENS = list("abcdefg")


def sentences(number=60, seed=0):
    generator = random.Random(seed)
    weights = [2.0**-i for i in range(6)]  # the last token never occurs
    return [generator.choices(TOKENS[:6], weights, k=generator.randint(0, 9)) for _ in range(number)]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("number", [1, 60])
def test_probabilities_after_any_context_sum_to_one(order, number):
    model = estimate_ngram(sentences(number, seed=5), order, TOKENS)
    outcomes = [*TOKENS, END, UNKNOWN]
    for context in [(), (START,), *itertools.product([START, *TOKENS], TOKENS), *itertools.product(TOKENS, repeat=3)]:
        assert sum(math.exp(model.log_prob(context, token)) for token in outcomes) == pytest.approx(1.0, abs=1e-9)
    assert model.order == order


class PlainKneserNey:
    """The recursive definition, counting anew at every step."""

    def __init__(self, data, order):
        self.whole = [(START, *sentence, END) for sentence in data]
        self.order = order
        self.followers = [*TOKENS, END, UNKNOWN]
        self.discounts = [self.discounts_of(size) for size in range(1, order + 1)]

    def count(self, ngram):
        size, places = len(ngram), [(s, i) for s in self.whole for i in range(len(s) - len(ngram) + 1)]
        found = [(s, i) for s, i in places if s[i : i + size] == ngram]
        return len(found) if ngram[0] == START or size == self.order else len({s[i - 1] for s, i in found if i})

    def discounts_of(self, size):
        seen = {s[i : i + size] for s in self.whole for i in range(len(s) - size + 1)} - {(START,)}
        how_many = Counter(self.count(ngram) for ngram in seen)
        n = [how_many[count] for count in (1, 2, 3, 4)]
        if not all(n[:3]):
            return FALLBACK_DISCOUNTS
        y = n[0] / (n[0] + 2 * n[1])
        found = [count - (count + 1) * y * n[count] / n[count - 1] for count in (1, 2, 3)]
        return found if all(0 < found[i] <= i + 1 for i in range(3)) else FALLBACK_DISCOUNTS

    def probability(self, context, token):
        counts = {follower: self.count((*context, follower)) for follower in self.followers}
        below = self.probability(context[1:], token) if context else 1.0 / len(self.followers)
        total = sum(counts.values())
        if not total:
            return below
        by = self.discounts[len(context)]
        taken = sum(by[min(count, 3) - 1] for count in counts.values() if count)
        own = counts[token] - by[min(counts[token], 3) - 1] if counts[token] else 0.0
        return (own + taken * below) / total


@pytest.mark.parametrize("order, number, own_discounts", [(2, 60, True), (3, 12, False), (3, 4, True)])
def test_probabilities_agree_with_the_plain_definition(order, number, own_discounts):
    data = sentences(number)
    model, plain = estimate_ngram(data, order, TOKENS), PlainKneserNey(data, order)
    assert (plain.discounts[1] != FALLBACK_DISCOUNTS) == own_discounts
    contexts = [(START,), *zip(TOKENS)] + (order == 3) * [*itertools.product([START, *TOKENS], TOKENS)]
    for context, token in itertools.product(contexts, [*TOKENS, END]):
        assert math.exp(model.log_prob(context, token)) == pytest.approx(plain.probability(context, token), rel=1e-9)


def test_arpa_round_trip_and_bytes(tmp_path):
    data = sentences()
    model = estimate_ngram(data, 3, TOKENS)
    write_arpa(tmp_path / "a.arpa", model)
    write_arpa(tmp_path / "b.arpa", estimate_ngram(data, 3, TOKENS))
    assert (tmp_path / "a.arpa").read_bytes() == (tmp_path / "b.arpa").read_bytes()
    again = read_arpa(tmp_path / "a.arpa")
    assert [set(grams) for grams in again.grams] == [set(grams) for grams in model.grams]
    for sentence in [*data, ["g", "unheard"], []]:
        assert again.sentence_log_prob(sentence) == pytest.approx(model.sentence_log_prob(sentence), abs=1e-4)
    assert perplexity(again, data) < perplexity(again, sentences(seed=9)) < perplexity(again, [["g", "g"]])


def test_files_that_are_none_are_named_with_the_line(tmp_path):
    path = tmp_path / "lm.arpa"
    with pytest.raises(FileNotFoundError, match=r"lm\.arpa does not exist"):
        read_arpa(path)
    write_arpa(path, estimate_ngram([["a"]], 2, []))
    text = path.read_text()
    path.write_text(text.replace("\\end\\", ""))
    with pytest.raises(ValueError, match=r"lm\.arpa is not a whole ARPA file"):
        read_arpa(path)
    path.write_text(text.replace("\ta\t", "\ta b c\t"))
    with pytest.raises(ValueError, match=r"line 9: expected a probability, 1 tokens"):
        read_arpa(path)
    with pytest.raises(ValueError, match="there is no text"):
        estimate_ngram([], 2, ["a"])
    assert NgramModel([{("a",): read_arpa_gram()}]).log_prob((), "b") == -math.inf


def read_arpa_gram():
    return estimate_ngram([["a"]], 1, []).grams[0][("a",)]


ARPA = (
    "\\data\\\nngram 1=3\nngram 2=1\n\n\\1-grams:\n-99\t<s>\t-0.3\n-0.5\ta\t-0.2\n-0.4\t</s>\n\n"
    "\\2-grams:\n-0.1\ta </s>\n\n\\end\\\n"
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a\t-0.2", "a\t-nan", r"line 7: '-nan' is no number"),
        ("a\t-0.2", "a\tnan", r"line 7: 'nan' is no number"),
        ("a\t-0.2", "a\tinf", r"line 7: 'inf' is no number"),
        ("a\t-0.2", "a\t1_0", r"line 7: '1_0' is no number"),
        ("-0.5\ta", "nan\ta", r"line 7: 'nan' is no number"),
        ("-0.5\ta", "0.5\ta", r"line 7: '0\.5' is the logarithm of a probability above 1"),
        ("-0.5\ta", "-0,5\ta", r"line 7: '-0,5' is no number"),
        ("-0.4\t</s>", "-0.4\ta", r"line 8: 'a' stands twice"),
        ("ngram 2=1", "ngram 2=2", r"announces 2 2-grams and holds 1"),
        ("ngram 2=1", "ngram 2=1\nngram 3=9", r"announces 9 3-grams and holds 0"),
        ("ngram 2=1\n", "", r"announces 0 2-grams and holds 1"),
        ("\\2-grams", "\\3-grams", r"line 10: expected \\2-grams:, got '\\\\3-grams:'"),
        ("\\end\\", "", r"is not a whole ARPA file"),
        ("-0.1\ta </s>\n\n\\end\\\n", "-0.1\ta", r"line 11: expected a probability, 2 tokens"),
        ("\ta </s>", "\t\udcff </s>", r"line 11: it is not UTF-8"),
        ("\ta </s>", "\t" + "a" * 2**16 + " </s>", r"line 11: expected at most 65536 bytes"),
    ],
)
def test_a_wrong_line_of_other_tools_is_named(tmp_path, old, new, message):
    path = tmp_path / "lm.arpa"
    assert old in ARPA
    path.write_bytes(ARPA.replace(old, new, 1).encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message) as caught:
        read_arpa(path)
    assert str(caught.value).startswith(str(path)) and len(str(caught.value)) < 300


def test_what_other_tools_write_is_read(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    plain = read_arpa(path)
    for text in ("\ufeff" + ARPA, ARPA.replace("\n", "\r\n"), "a comment\n\n" + ARPA.replace("ngram ", "ngram  ")):
        path.write_bytes(text.encode())
        assert read_arpa(path).grams == plain.grams
    path.write_text(ARPA.replace("-99\t<s>", "-inf\t<s>"))
    assert read_arpa(path).grams == plain.grams
    path.write_bytes(gzip.compress(ARPA.encode()))
    with pytest.raises(ValueError, match=r"lm\.arpa is compressed; unpack it with gunzip"):
        read_arpa(path)


@pytest.mark.parametrize("token", ["<s>", "</s>"])
def test_marks_of_the_ends_are_no_tokens_of_sentences(token):
    with pytest.raises(ValueError, match=f"the sentence 'a {token} b' has <s> or </s>"):
        estimate_ngram([["a", "b"], ["a", token, "b"]], 2, [])
