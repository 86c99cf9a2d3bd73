"""How much like text something is that was said, with no transcript: it chooses steps and seeds.

Baevski et al. 2021, https://arxiv.org/abs/2105.11084, section 4.3: perplexity by an n-gram model of the text, and how
many of its symbols are in use. A generator that says but one word has a low perplexity and few symbols.
"""

import math
from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence

from icefall_discrete.lm.arpa import NgramModel, perplexity
from icefall_discrete.lm.ngram import estimate_ngram

WEIGHTED = "weighted_ppl"
# By the paper a candidate may be so much less like text than the one it is compared with.
TOLERANCE = 1.2
# A seed that says fewer of the symbols has collapsed; one farther from the text's own perplexity has not found it.
LEAST_SEEN = 0.5
NEAR = 1.1
_NEAR_TEXT = "near the text"


def tokens_of(symbols: Iterable[int]) -> List[str]:
    """Symbols as the n-gram model has them."""
    return [str(symbol) for symbol in symbols]


class Judge:
    """An n-gram model of lines of symbols (silence left out), and what such lines measure themselves.

    Args:
      lines: of text, symbols above 0. num_symbols: with silence (V). order: longest n-grams.
    Raises:
      ValueError: if there is no line.
    """

    def __init__(self, lines: Sequence[Sequence[int]], num_symbols: int, order: int) -> None:
        self.num_symbols = num_symbols
        # Every tenth line is measured by a model of the others, as text that nobody saw.
        held_out = lines[::10] if len(lines) > 10 else lines
        others = [line for place, line in enumerate(lines) if place % 10] if len(lines) > 10 else lines
        vocabulary = tokens_of(range(1, num_symbols))
        self.text_ppl = perplexity(estimate_ngram(map(tokens_of, others), order, vocabulary), map(tokens_of, held_out))
        self.model: NgramModel = estimate_ngram(map(tokens_of, lines), order, vocabulary)

    def figures(self, said: Sequence[Sequence[int]]) -> Dict[str, float]:
        """Of what is said: `lm_ppl`, `symbols_seen` (a share), `weighted_ppl`, and nats and symbols in all."""
        rows = [tokens_of(row) for row in said]
        seen = len({symbol for row in said for symbol in row}) / max(1, self.num_symbols - 1)
        nats = -sum(self.model.sentence_log_prob(row) for row in rows)
        tokens = sum(len(row) + 1 for row in rows)
        lm_ppl = math.exp(min(nats / max(1, tokens), 700.0))
        weighted = lm_ppl / seen**2 if seen else 1e9
        return {"lm_ppl": lm_ppl, "symbols_seen": seen, WEIGHTED: weighted, "nats": nats, "tokens": float(tokens)}


class Candidate(NamedTuple):
    """A seed's best step, as its figures have it."""

    seed: int
    lm_ppl: float
    symbols_seen: float
    weighted_ppl: float
    nats: float

    @classmethod
    def of(cls, seed: int, figures: Mapping[str, float]) -> "Candidate":
        """From the figures of a judge."""
        return cls(seed, *(float(figures[name]) for name in cls._fields[1:]))


def by_weighted_perplexity(candidates: Sequence[Candidate]) -> Candidate:
    """The least perplexity over the square of the share of symbols in use, as fairseq chooses steps."""
    return min(candidates, key=lambda one: one.weighted_ppl)


def by_total_log_prob(candidates: Sequence[Candidate]) -> Candidate:
    """The paper's choice: of those about as much like text as the best one, the one that is most probable in all.

    With U the share of symbols in use, the anchor has the least log perplexity - log U; those stay whose log perplexity
    is below the anchor's + log(U / anchor's U) + log 1.2.
    """
    used = [one for one in candidates if one.symbols_seen > 0]
    if not used:
        return candidates[0]
    anchor = min(used, key=lambda one: math.log(one.lm_ppl) - math.log(one.symbols_seen))
    bound = math.log(anchor.lm_ppl) + math.log(TOLERANCE)
    near = [one for one in used if math.log(one.lm_ppl) < bound + math.log(one.symbols_seen / anchor.symbols_seen)]
    return min(near, key=lambda one: one.nats)


def verdict(one: Candidate, text_ppl: float) -> str:
    """What a table says of a seed beside its figures."""
    if one.symbols_seen < LEAST_SEEN:
        return "collapsed: says few of the symbols"
    return _NEAR_TEXT if one.weighted_ppl <= NEAR * text_ppl else "not near the text"


def doubt_of(told: str, is_control: bool) -> str:
    """Why nobody should learn from a seed of which `verdict` told this; empty: nothing is known against it."""
    if is_control:
        return "a control, whose text was in random order"
    return "" if told == _NEAR_TEXT else told
