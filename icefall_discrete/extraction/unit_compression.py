"""How many bits a second codes need once the order of units is known: an n-gram model of each codebook.

The model is estimated on the training cuts and measured on others, so that units it has not seen cost what they cost.
Codebooks are coded apart, which is more than all of them need together.
"""

import math
from typing import Any, Dict, Iterable, List, Sequence

from lhotse import MonoCut

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_frames
from icefall_discrete.lm.arpa import perplexity
from icefall_discrete.lm.ngram import estimate_ngram

ORDERS = (1, 2, 3)
# Of more codebooks than that (dMel has 80) models would take longer than they tell.
MAX_CODEBOOKS = 16


def _streams(cuts: Iterable[MonoCut], spec: FeatureSpec) -> List[List[List[str]]]:
    """Units as words by codebook and cut."""
    codes = [load_frames(cut, spec) for cut in cuts]
    return [[list(map(str, one[:, k].tolist())) for one in codes] for k in range(spec.num_codebooks)]


def lm_bits_per_second(train: Sequence[MonoCut], cuts: Sequence[MonoCut], spec: FeatureSpec) -> Dict[str, Any]:
    """Bits a second by order of the model, "1" to "3", and without repetitions of units, "3_without_repetitions".

    Without repetitions, how long a unit lasts is not told; ends of utterances are paid for in both. Nothing of
    continuous features, or more than MAX_CODEBOOKS.

    Args:
      train: the cuts that models are made of. cuts: those that are measured.
    """
    if spec.kind != "codes" or spec.num_codebooks > MAX_CODEBOOKS:
        return {}
    seconds = sum(cut.duration for cut in cuts)
    learnt, measured = _streams(train, spec), _streams(cuts, spec)
    found = {str(order): _bits(learnt, measured, spec, order) / seconds for order in ORDERS}
    learnt, measured = ([[_without(units) for units in one] for one in streams] for streams in (learnt, measured))
    found[f"{ORDERS[-1]}_without_repetitions"] = _bits(learnt, measured, spec, ORDERS[-1]) / seconds
    return {name: round(bits, 2) for name, bits in found.items()}


def _without(units: List[str]) -> List[str]:
    return [unit for place, unit in enumerate(units) if place == 0 or unit != units[place - 1]]


def _bits(learnt: List[List[List[str]]], measured: List[List[List[str]]], spec: FeatureSpec, order: int) -> float:
    """Bits that the measured cuts need, all codebooks together."""
    total = 0.0
    for mine, theirs, size in zip(learnt, measured, spec.codebook_sizes):
        model = estimate_ngram(mine, order, map(str, range(size)))
        total += math.log2(perplexity(model, theirs)) * sum(len(units) + 1 for units in theirs)
    return total
