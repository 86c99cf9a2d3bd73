"""What codes cost under a language model, and whether it tells real speech from what is made of it.

Bits a second of audio: all that is needed to write down the codes of a set, the end of each utterance among them, over
the seconds of these utterances. It is comparable over what perplexity is not. Over K: each of the K codes of a frame is
paid for, after those that the model has seen before it, so that the product over steps is a probability of the whole,
whatever the pattern (codes that a pattern tells in one step are paid for apart, which can only cost more). Over
repetitions left out and pieces (BPE): the codes then no longer tell how long units last; what the lengths cost, under
counts of training (lm/unit_bits.py), is added, so that both tell the same frames, and pieces cost no less than the
units that they stand for, of which they are one of several spellings. What differs in what it tells, as codes of
another tokenizer do, has other bits for that reason too.
"""

import math
from typing import Dict, Iterable, List, NamedTuple, Optional

from icefall_discrete.metrics.facts import Metric

_LEGEND = (
    "Bits/s: what a language model needs to write down the codes of a second of audio, ends of utterances and, where "
    "repetitions are left out, lengths of units included; it compares codebooks, repetitions and pieces. Perplexity is "
    "of one code, and compares models of the same codes only."
)
_NGRAMS = "The same under n-grams of each codebook by itself, counted on the training set."
_RANKS = (
    "Ranking: how often the model finds the real codes more probable than the same in another order (words, or chunks "
    "where words are not known), and how they go on more probable than how another utterance does."
)
METRICS = (
    Metric("unit_bits", "LM", "model bit rate", _LEGEND, unit="bits/s"),
    Metric("unit_perplexity", "perplexity", "perplexity", _LEGEND, unit="", is_aside=True),
    Metric("unigram_bits", "unigram", "model bit rate", _NGRAMS, unit="bits/s", is_aside=True),
    Metric("fourgram_bits", "4-gram", "model bit rate", _NGRAMS, unit="bits/s", is_aside=True),
    Metric("order_ranked", "order ranked", "accuracy", _RANKS, higher_is_better=True, is_aside=True),
    Metric("going_on_ranked", "going on ranked", "accuracy", _RANKS, higher_is_better=True, is_aside=True),
)
# Names of the figures of n-grams by order.
NGRAM_NAMES = {1: "unigram_bits", 4: "fourgram_bits"}


class ToldCut(NamedTuple):
    """Of an utterance: codes and ends, nats of them; whether each ranking was right, 0.5 for a tie, None: not asked."""

    codes: float
    nats: float
    order: Optional[float] = None
    going_on: Optional[float] = None


def bits_of(nats: float) -> float:
    """Bits of nats."""
    return nats / math.log(2)


def language_figures(told: Iterable[ToldCut], seconds: float, more_bits: float = 0.0) -> Dict[str, Dict[str, float]]:
    """The figures of METRICS but n-grams', of utterances of so many seconds; `more_bits`: of lengths of units.

    Raises:
      ValueError: if there is no utterance.
    """
    lines = list(told)
    if not lines or seconds <= 0:
        raise ValueError("there is no utterance whose codes were told; decode the split again.")
    codes, nats = sum(one.codes for one in lines), sum(one.nats for one in lines)
    found = {
        "unit_bits": {"value": round((bits_of(nats) + more_bits) / seconds, 3)},
        "unit_perplexity": {"value": round(math.exp(nats / codes), 4), "num": codes},
    }
    for name, asked in (("order_ranked", _asked(lines, "order")), ("going_on_ranked", _asked(lines, "going_on"))):
        if asked:
            found[name] = {"rate": round(100.0 * sum(asked) / len(asked), 3), "num": float(len(asked))}
    return found


def _asked(lines: List[ToldCut], name: str) -> List[float]:
    return [value for value in (getattr(one, name) for one in lines) if value is not None]
