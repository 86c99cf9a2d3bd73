"""Five words over nine units, of which some begin others, and a model of them, for the tests of the k2 searches."""

from icefall_discrete.decoding.k2_lexicon import Lexicon
from icefall_discrete.lm.ngram import estimate_ngram

PIECES = ["<blk>", "<sos/eos>", "<unk>", "▁a", "▁b", "c", "d", "▁", "e"]
SPELLINGS = {"a": (3,), "ac": (3, 5), "acd": (3, 5, 6), "bd": (4, 6), "ea": (7, 8, 5)}
SENTENCES = ["a bd a", "ac acd", "bd a ea", "a a bd", "ea ac a bd", "acd"]


def toy_lexicon() -> Lexicon:
    """The five words."""
    return Lexicon(PIECES, SPELLINGS)


def toy_model(order=3):
    """An n-gram model of SENTENCES."""
    return estimate_ngram([sentence.split() for sentence in SENTENCES], order, SPELLINGS)
