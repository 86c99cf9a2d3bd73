"""What an epoch draws of each language, or of transcripts and pseudo-labels; it stays as long as the corpus.

Temperature sampling draws more of the languages that have little.
"""

import dataclasses
import random
from typing import Dict, Iterable, Iterator, List, Mapping

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.data.cuts import language_of
from icefall_discrete.data.label_share import is_pseudo_labelled

_UNITS_PER_SEC = 1_000_000  # durations are summed as integers, so that no epoch loses or repeats a cut by rounding


@dataclasses.dataclass(frozen=True)
class _Group:
    """Cuts of one language, or kind of label, and what an epoch takes of them, in microseconds."""

    name: str
    cuts: List[Cut]
    total: int
    quota: int


def _microseconds(cut: Cut) -> int:
    return max(1, round(cut.duration * _UNITS_PER_SEC))


def language_shares(hours: Mapping[str, float], temperature: float) -> Dict[str, float]:
    """The share of each language in an epoch: (h / H)^(1/T), divided by the sum over languages.

    h are the hours of a language, H of all, T the temperature: 1 leaves the shares as they are, a large one makes them
    equal. Sampling with alpha = 1/T is that of Lample and Conneau 2019 (https://arxiv.org/abs/1901.07291, alpha 0.5)
    and XLM-R (Conneau et al. 2020, https://arxiv.org/abs/1911.02116, alpha 0.3), with sentences in place of hours; the
    temperature is that of Arivazhagan et al. 2019 (https://arxiv.org/abs/1907.05019, T = 5).
    """
    total = sum(hours.values())
    weights = {language: (amount / total) ** (1.0 / temperature) for language, amount in hours.items()}
    return {language: weight / sum(weights.values()) for language, weight in weights.items()}


def _languages(cuts: CutSet, temperature: float) -> List[_Group]:
    if cuts.is_lazy:
        raise ValueError("language_temperature needs the hours of each language, so that cuts cannot be read lazily.")
    groups: Dict[str, List[Cut]] = {}
    for cut in cuts:
        language = language_of(cut)
        if not language:
            raise ValueError(f"cut {cut.id}: has no language, which language_temperature needs; set it to 1.")
        groups.setdefault(language, []).append(cut)
    totals = {language: sum(map(_microseconds, groups[language])) for language in sorted(groups)}
    shares = language_shares(totals, temperature)
    whole = sum(totals.values())
    return [_Group(name, groups[name], totals[name], round(shares[name] * whole)) for name in totals]


def _drawn(group: _Group, epoch: int, seed: int) -> Iterator[Cut]:
    """What an epoch takes of the group: an endless row of shuffles of its cuts is divided among the epochs.

    So all its cuts have been drawn equally often, up to one time, after any epoch.
    """
    begin, end = (epoch - 1) * group.quota, epoch * group.quota
    for shuffle in range(begin // group.total, (end - 1) // group.total + 1):
        order = list(group.cuts)
        random.Random(f"{seed},{group.name},{shuffle}").shuffle(order)
        place = shuffle * group.total
        for cut in order:
            if begin <= place < end:
                yield cut
            place += _microseconds(cut)


def drawn_cuts(cuts: CutSet, temperature: float, epoch: int, seed: int) -> CutSet:
    """The cuts of epoch number `epoch` (from 1), language by language; a cut may be there several times, or not at all.

    The same arguments give the same cuts. Each language has its share of the corpus' duration, to within a cut.

    Raises:
      ValueError: if a cut has no language, or the cuts are read lazily.
    """
    return CutSet.from_cuts(
        [cut for language in _languages(cuts, temperature) for cut in _drawn(language, epoch, seed)]
    )


def mixed_cuts(cuts: CutSet, pseudo_share: float, epoch: int, seed: int) -> CutSet:
    """The cuts of epoch number `epoch` (from 1), of which `pseudo_share` of the duration has pseudo-labels.

    The rest has transcripts. It is as long as all cuts together, so that a transcript may come several times, and a
    pseudo-label not at all.

    Raises:
      ValueError: if there are no cuts of one kind, or they are read lazily.
    """
    if cuts.is_lazy:
        raise ValueError("pseudo_share needs the hours of pseudo-labels, so that cuts cannot be read lazily.")
    kinds = [("transcripts", False, 1.0 - pseudo_share), ("pseudo-labels", True, pseudo_share)]
    groups = []
    whole = sum(map(_microseconds, cuts))
    for name, is_pseudo, share in kinds:
        mine = [cut for cut in cuts if is_pseudo_labelled(cut) == is_pseudo]
        if share and not mine:
            raise ValueError(
                f"pseudo_share is {pseudo_share:g}, but no training cut has {name}; set it to 0, or train with both."
            )
        if share:
            groups.append(_Group(name, mine, sum(map(_microseconds, mine)), round(share * whole)))
    return CutSet.from_cuts([cut for group in groups for cut in _drawn(group, epoch, seed)])


def hours_by_language(cuts: Iterable[Cut]) -> Dict[str, float]:
    """Hours of each language, sorted by name; "unknown" for cuts that have none."""
    hours: Dict[str, float] = {}
    for cut in cuts:
        name = language_of(cut) or "unknown"
        hours[name] = hours.get(name, 0.0) + cut.duration / 3600.0
    return dict(sorted(hours.items()))
