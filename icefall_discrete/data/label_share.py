"""A share of the labels: of which utterances text (or class) is used, so that error rates can be set against hours.

Of each language the same share of utterances is kept, those first in an order drawn from the hash of their ids: a
smaller share lies within a larger one, speed copies go with their utterance, and nothing depends on a seed.
"""

import hashlib
import logging
import math
from typing import Dict, Iterable, Optional, Set

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.data.cuts import is_speed_perturbed, language_of, original_id

LOG = logging.getLogger(__name__)
PSEUDO_LABEL = "pseudo_label"  # custom field of a supervision whose text a model said (pseudo_labels.py)


def is_pseudo_labelled(cut: Cut) -> bool:
    """Whether the text of the cut, or of a part of it, was said by a model."""
    return any(PSEUDO_LABEL in (said.custom or {}) for said in cut.supervisions)


def _order(utterance: str) -> str:
    return hashlib.sha256(utterance.encode()).hexdigest()


def labelled_ids(cuts: Iterable[Cut], fraction: float) -> Set[str]:
    """Ids of the utterances, without suffixes of speed copies, whose labels are used: one a language at the least.

    Raises ValueError unless the fraction is above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"label_fraction is {fraction}, expected a number above 0 and at most 1.")
    languages: Dict[Optional[str], Set[str]] = {}
    for cut in cuts:
        languages.setdefault(language_of(cut), set()).add(original_id(cut, cut.id))
    kept: Set[str] = set()
    for utterances in languages.values():
        number = max(1, math.ceil(fraction * len(utterances) - 1e-9))
        kept.update(sorted(utterances, key=_order)[:number])
    return kept


def with_labels(cuts: CutSet, fraction: float) -> CutSet:
    """The cuts whose labels are used, speed copies among them; all of them, untouched, for a `fraction` of 1.

    Cuts with pseudo-labels among them were chosen when they were put together (pseudo_labels.py), and are untouched.
    """
    if fraction == 1.0 or any(map(is_pseudo_labelled, cuts)):
        return cuts
    kept = labelled_ids(cuts, fraction)
    chosen = CutSet.from_cuts([cut for cut in cuts if original_id(cut, cut.id) in kept])
    total = len({original_id(cut, cut.id) for cut in cuts})
    LOG.info(
        "the labels of %d of %d training utterances are used, %.3f h (label_fraction %g)",
        len(kept),
        total,
        label_hours(chosen),
        fraction,
    )
    return chosen


def label_hours(cuts: Iterable[Cut]) -> float:
    """Hours of transcribed speech: the cuts that are not copies at another speed, and have no pseudo-labels."""
    return sum(cut.duration for cut in cuts if not is_speed_perturbed(cut) and not is_pseudo_labelled(cut)) / 3600
