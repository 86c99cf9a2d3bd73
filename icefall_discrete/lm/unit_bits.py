"""How many bits a second codes need once the order of units is known: an n-gram model of each codebook.

The model is estimated on the training cuts and measured on others, so that units it has not seen cost what they cost.
Codebooks are coded apart, which is more than all of them need together.
"""

import math
from collections import Counter
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from lhotse import MonoCut
from lhotse.cut import Cut

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_durations, load_frames
from icefall_discrete.lm.arpa import perplexity
from icefall_discrete.lm.ngram import estimate_ngram

ORDERS = (1, 2, 3)
# Of more codebooks than that (dMel has 80) models would take longer than they tell.
MAX_CODEBOOKS = 16
# How many lengths of any unit stand beside those that a unit had in training.
_WEIGHT = 2.0


def _streams(cuts: Iterable[Cut], spec: FeatureSpec) -> List[List[List[str]]]:
    """Units as words by codebook and cut."""
    codes = [load_frames(cut, spec) for cut in cuts]
    return [[list(map(str, one[:, k].tolist())) for one in codes] for k in range(spec.num_codebooks)]


def ngram_bits(train: Sequence[Cut], cuts: Sequence[Cut], spec: FeatureSpec, orders: Sequence[int]) -> Dict[int, float]:
    """Bits that all codes of `cuts` need, by order of the model; of no codes, or more than MAX_CODEBOOKS, none."""
    if spec.kind != "codes" or spec.num_codebooks > MAX_CODEBOOKS:
        return {}
    learnt, measured = _streams(train, spec), _streams(cuts, spec)
    return {order: _bits(learnt, measured, spec, order) for order in orders}


def duration_bits(train: Sequence[Cut], cuts: Sequence[Cut], spec: FeatureSpec) -> float:
    """Bits that the lengths of runs need, which codes of a variable rate do not tell; 0 for others.

    A length is told by its unit where codes are units, else by none: the counts of training, over them as many of the
    lengths of any unit as `_WEIGHT` says, over these all lengths up to the longest alike.
    """
    if not spec.has_variable_rate:
        return 0.0
    known, anyhow = Counter[Tuple[int, int]](), Counter[int]()
    for cut in train:
        for unit, length in _runs(cut, spec):
            known[unit, length] += 1
            anyhow[length] += 1
    units = Counter[int]()
    for (unit, _), count in known.items():
        units[unit] += count
    told = [pair for cut in cuts for pair in _runs(cut, spec)]
    num_lengths = max([1, *anyhow, *(length for _, length in told)])
    total, bits = sum(anyhow.values()), 0.0
    for unit, length in told:
        of_any = (anyhow[length] + 1.0 / num_lengths) / (total + 1.0)
        bits -= math.log2((known[unit, length] + _WEIGHT * of_any) / (units[unit] + _WEIGHT))
    return bits


def _runs(cut: Cut, spec: FeatureSpec) -> List[Tuple[int, int]]:
    """Unit and length of each run of a cut; unit 0 where codes stand for several."""
    lengths, codes = load_durations(cut, spec).tolist(), load_frames(cut, spec)[:, 0].tolist()
    return list(zip(codes if len(codes) == len(lengths) else [0] * len(lengths), lengths))


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
