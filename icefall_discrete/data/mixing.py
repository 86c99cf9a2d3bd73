"""Two corpora in one training: cuts of another corpus mixed in, so that what was learnt of it is not forgotten."""

import random
from typing import Iterable, List, Sequence

from lhotse import CutSet
from lhotse.cut import Cut

_MARK = "mixed_in"


def with_mixed_in(cuts: CutSet, others: CutSet) -> CutSet:
    """The cuts of a corpus, and those of another one, which `mixed_epoch` knows apart.

    Raises:
      ValueError: if an id is in both.
    """
    ids = {cut.id for cut in cuts}
    for cut in others:
        if cut.id in ids:
            raise ValueError(
                f"cut {cut.id} is in the corpus and in the one that is mixed in; give it another id there."
            )
        cut.custom = {**(cut.custom or {}), _MARK: True}
    return CutSet.from_cuts([*cuts, *others])


def _is_mixed_in(cut: Cut) -> bool:
    return bool((getattr(cut, "custom", None) or {}).get(_MARK))


def has_mixed_in(cuts: Iterable[Cut]) -> bool:
    """Whether cuts of another corpus are among them."""
    return any(map(_is_mixed_in, cuts))


def _shuffled(cuts: Iterable[Cut], what: str) -> List[Cut]:
    shuffled = list(cuts)
    random.Random(what).shuffle(shuffled)
    return shuffled


def mixed_epoch(cuts: CutSet, weights: Sequence[float], epoch: int, seed: int) -> CutSet:
    """The cuts of epoch number `epoch` (from 1): drawn from one corpus or the other until one of them has no more.

    As lhotse's CutSet.mux with stop_early, which is what icefall's fine-tuning does with `--use-mux`. The same
    arguments give the same cuts.

    Args:
      weights: how often the corpus is drawn from, and how often that which is mixed in; none: as they have cuts.
    """
    own = _shuffled((cut for cut in cuts if not _is_mixed_in(cut)), f"{seed},{epoch},own")
    others = _shuffled(filter(_is_mixed_in, cuts), f"{seed},{epoch},others")
    drawn = CutSet.mux(
        CutSet.from_cuts(own),
        CutSet.from_cuts(others),
        weights=list(weights) or [len(own), len(others)],
        stop_early=True,
        seed=random.Random(f"{seed},{epoch}").randrange(2**31),
    )
    return CutSet.from_cuts(list(drawn))
