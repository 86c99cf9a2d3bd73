"""Estimation of n-gram models from counts: interpolated, modified Kneser-Ney smoothing.

Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling" (TR-10-98).
"""

import math
from collections import Counter, defaultdict
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

from icefall_discrete.lm.arpa import END, START, UNKNOWN, Gram, Ngram, NgramModel

# Where a corpus is too small (or too uniform) for discounts of its own; the values that KenLM falls back to as well.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


class Discounts(NamedTuple):
    """Taken off counts of one, of two, and of three or more."""

    once: float
    twice: float
    more: float

    def of(self, count: int) -> float:
        """The discount of a count."""
        return self[min(count, 3) - 1]


def estimate_ngram(sentences: Iterable[Sequence[str]], order: int, vocabulary: Iterable[str]) -> NgramModel:
    """Estimate a model in which the probabilities after any context sum to one.

    Args:
      sentences: tokens, without marks of beginning and end.
      order: longest n-grams, at least 1.
      vocabulary: tokens that get a probability though they may not occur; those of the sentences are added.

    Raises:
      ValueError: if there is no sentence, or one has a token of those that mark its ends, or `order` is below 1.
    """
    if order < 1:
        raise ValueError(f"ngram_order is {order}, expected at least 1.")
    whole = with_ends(sentences)
    if not whole:
        raise ValueError("there is no text to estimate a language model from; check the transcripts.")
    tokens = {END, UNKNOWN, *vocabulary, *(token for sentence in whole for token in sentence)} - {START}
    counts = _adjusted_counts(whole, order)
    grams: List[Dict[Ngram, Gram]] = []
    uniform = 1.0 / len(tokens)
    for size in range(1, order + 1):
        discounts = _discounts(counts[size - 1].values())
        probabilities, weights = _smoothed(counts[size - 1], discounts, grams, uniform)
        if size == 1:
            # What no sentence holds has its share of the uniform distribution that the unigrams are mixed with.
            floor = math.log(weights[()] * uniform)
            grams.append({(token,): Gram(probabilities.get((token,), floor)) for token in tokens})
            grams[0][(START,)] = Gram(-math.inf)
        else:
            for context, weight in weights.items():
                grams[-1][context] = Gram(grams[-1][context].log_prob, math.log(weight))
            grams.append({ngram: Gram(log_prob) for ngram, log_prob in probabilities.items()})
    return NgramModel(grams)


def with_ends(sentences: Iterable[Sequence[str]]) -> List[Ngram]:
    """The sentences with the marks of their ends. Raises ValueError if one has such a mark within."""
    whole = [(START, *sentence, END) for sentence in sentences]
    for sentence in whole:
        if START in sentence[1:] or END in sentence[:-1]:
            raise ValueError(
                f"the sentence '{' '.join(sentence[1:-1])[:80]}' has {START} or {END}, which mark the ends of "
                "sentences in language models; write it otherwise, or leave it out."
            )
    return whole


def _adjusted_counts(sentences: Sequence[Ngram], order: int) -> List[Counter[Ngram]]:
    """Counts of the longest n-grams; of shorter ones how many different tokens precede them (<s> precedes nothing)."""
    raw: List[Counter[Ngram]] = []
    for size in range(1, order + 1):
        raw.append(Counter(s[i : i + size] for s in sentences for i in range(len(s) - size + 1)))
    del raw[0][(START,)]
    adjusted = [raw[-1]]
    for size in range(order - 1, 0, -1):
        preceded: Counter[Ngram] = Counter(ngram[1:] for ngram in raw[size])
        begin = {ngram: count for ngram, count in raw[size - 1].items() if ngram[0] == START}
        adjusted.append(Counter({**preceded, **begin}))
    return adjusted[::-1]


def _discounts(counts: Iterable[int]) -> Discounts:
    """Discounts from how many n-grams have a count of 1, 2, 3 and 4."""
    how_many = Counter(counts)
    n1, n2, n3, n4 = (how_many[count] for count in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return Discounts(*FALLBACK_DISCOUNTS)
    y = n1 / (n1 + 2.0 * n2)
    found = Discounts(1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    valid = all(0.0 < discount <= size for size, discount in enumerate(found, start=1))
    return found if valid else Discounts(*FALLBACK_DISCOUNTS)


def _smoothed(
    counts: Counter[Ngram], discounts: Discounts, shorter: Sequence[Dict[Ngram, Gram]], uniform: float
) -> Tuple[Dict[Ngram, float], Dict[Ngram, float]]:
    """Log-probabilities of n-grams, mixed with those of one token less, and the weight of the latter by context."""
    totals: Dict[Ngram, float] = defaultdict(float)
    taken: Dict[Ngram, float] = defaultdict(float)
    for ngram, count in counts.items():
        totals[ngram[:-1]] += count
        taken[ngram[:-1]] += discounts.of(count)
    weights = {context: taken[context] / total for context, total in totals.items()}
    log_probs = {}
    for ngram, count in counts.items():
        context = ngram[:-1]
        below = math.exp(shorter[-1][ngram[1:]].log_prob) if shorter else uniform
        own = (count - discounts.of(count)) / totals[context]
        log_probs[ngram] = math.log(own + weights[context] * below)
    return log_probs, weights
