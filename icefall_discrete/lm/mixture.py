"""Linear mixtures of n-gram models: each text has a model of its own, and held-out text says how much each counts.

The mixture is written as one back-off model again, as `ngram -mix-lm` of SRILM has it (Stolcke 2002, "SRILM, an
extensible language modeling toolkit", section 3): what either model has as an n-gram keeps its mixed probability, and
back-off weights are computed anew, so that the probabilities after any context sum to one. A text that is far larger,
and of another kind, than the transcripts does not drown them, as it would if their counts were added.
"""

import math
from collections import defaultdict
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

from icefall_discrete.lm.arpa import Gram, Ngram, NgramModel
from icefall_discrete.lm.ngram import estimate_ngram, with_ends

_NEVER_BACKED_OFF = 1e-9  # of a context after which every token has an n-gram of its own, as rounding leaves it
_ENOUGH = 1e-4  # change of a weight that ends the search for the best
_MOST_ROUNDS = 100


class Mixture(NamedTuple):
    """A mixture as one model, and the weight of each text's model in it."""

    model: NgramModel
    weights: List[float]


def estimate_mixture(
    texts: Sequence[Sequence[Sequence[str]]], held_out: Sequence[Sequence[str]], order: int, vocabulary: Iterable[str]
) -> Mixture:
    """Estimate a model of each text, and mix them so that `held_out` is least surprising.

    Args:
      texts: sentences of tokens, one list a text. held_out: sentences that none of them holds.
      order, vocabulary: as `estimate_ngram` takes them; a text's tokens get a probability in each model.

    Raises:
      ValueError: as `estimate_ngram` does, or if there is nothing held out though there are several texts.
    """
    tokens = {*vocabulary, *(token for text in texts for sentence in text for token in sentence)}
    models = [estimate_ngram(text, order, tokens) for text in texts]
    if len(models) == 1:
        return Mixture(models[0], [1.0])
    weights = best_weights(models, held_out)
    return Mixture(mixed(models, weights), weights)


def best_weights(models: Sequence[NgramModel], held_out: Sequence[Sequence[str]]) -> List[float]:
    """The weights under which `held_out` is most probable, by expectation maximisation; they sum to one."""
    whole = with_ends(held_out)
    if not whole:
        raise ValueError("there is no held-out text to weigh language models by; check the cuts of dev.")
    places = [(sentence[:place], sentence[place]) for sentence in whole for place in range(1, len(sentence))]
    said = [[math.exp(model.log_prob(*place)) for model in models] for place in places]
    weights = [1.0 / len(models)] * len(models)
    for _ in range(_MOST_ROUNDS):
        totals = [0.0] * len(models)
        for probabilities in said:
            shares = [weight * probability for weight, probability in zip(weights, probabilities)]
            totals = [total + share / sum(shares) for total, share in zip(totals, shares)]
        before, weights = weights, [total / len(said) for total in totals]
        if max(abs(weight - other) for weight, other in zip(weights, before)) < _ENOUGH:
            break
    return weights


def mixed(models: Sequence[NgramModel], weights: Sequence[float]) -> NgramModel:
    """One back-off model with the mixed probability of every n-gram that any of the models has.

    Args:
      models: of the same tokens and order. weights: of each, above 0, with sum 1.
    """
    grams: List[Dict[Ngram, Gram]] = []
    for size in range(1, models[0].order + 1):
        ngrams = {ngram for model in models for ngram in model.grams[size - 1]}
        log_probs = {ngram: _mixed_log_prob(models, weights, ngram) for ngram in ngrams}
        if size > 1:
            for context, weight in _backoffs(log_probs, NgramModel(grams)).items():
                grams[-1][context] = Gram(grams[-1][context].log_prob, weight)
        grams.append({ngram: Gram(log_prob) for ngram, log_prob in log_probs.items()})
    return NgramModel(grams)


def _mixed_log_prob(models: Sequence[NgramModel], weights: Sequence[float], ngram: Ngram) -> float:
    said = [weight * math.exp(model.log_prob(ngram[:-1], ngram[-1])) for model, weight in zip(models, weights)]
    return math.log(sum(said)) if any(said) else -math.inf  # <s> is never said


def _backoffs(log_probs: Dict[Ngram, float], shorter: NgramModel) -> Dict[Ngram, float]:
    """Nats of the back-off weight of each context: what its n-grams leave, over what shorter ones leave them."""
    sums: Dict[Ngram, Tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for ngram, log_prob in log_probs.items():
        own, below = sums[ngram[:-1]]
        sums[ngram[:-1]] = own + math.exp(log_prob), below + math.exp(shorter.log_prob(ngram[1:-1], ngram[-1]))
    return {
        context: math.log(max(1.0 - own, _NEVER_BACKED_OFF) / max(1.0 - below, _NEVER_BACKED_OFF))
        for context, (own, below) in sums.items()
    }
