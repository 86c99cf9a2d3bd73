"""Which cuts a tokenizer is fitted on, and in which order: by their durations alone, so that none needs to be held."""

import array
import hashlib
import random
from typing import Iterable, Iterator, NamedTuple, Sequence

import numpy as np
from lhotse import MonoCut

from icefall_discrete.base.disk_tables import LinesByName
from icefall_discrete.data.cuts import is_speed_perturbed, language_of
from icefall_discrete.data.cuts_on_disk import CutsOnDisk, Selected


class Survey(NamedTuple):
    """What one reading of the cuts says of them: a digest of all, whatever their order, and how long each lasts."""

    digest: str
    seconds: Sequence[float]


def survey(cuts: Iterable[MonoCut], by_language: bool = False) -> Survey:
    """Read the cuts once.

    Args:
      by_language: whether their languages are in the digest.
    Raises:
      ValueError: if a cut is speed-perturbed: the tokenizer is fitted on what was recorded.
    """
    seconds, digest = array.array("d"), hashlib.sha256()
    with LinesByName("the list of cuts") as lines:
        for cut in cuts:
            if is_speed_perturbed(cut):
                raise ValueError(
                    f"cut {cut.id}: is speed-perturbed; fit on the corpus manifest, not on extracted cuts."
                )
            seconds.append(cut.duration)
            lines.add(cut.id, f"{cut.id} {cut.start} {cut.duration}\n" + f"{language_of(cut)}\n" * by_language)
        for line in lines:
            digest.update(line.encode())
    return Survey(digest.hexdigest(), seconds)


def _chosen_numbers(seconds: Sequence[float], max_hours: float, seed: int) -> np.ndarray:
    """Numbers of cuts that last so long, in a seeded random order, up to `max_hours` (0: no limit)."""
    order = array.array("q", range(len(seconds)))
    random.Random(seed).shuffle(order)
    count, total = 0, 0.0
    for number in order:
        if max_hours > 0 and count and total + seconds[number] > 3600 * max_hours:
            break
        count += 1
        total += seconds[number]
    return np.frombuffer(order[:count], np.int64) if count else np.empty(0, np.int64)


def _numbered(cuts: Iterable[MonoCut], seconds: Sequence[float], ascending: np.ndarray) -> Iterator[MonoCut]:
    """The cuts with these numbers; raises ValueError if others are read than `seconds` are of."""
    wanted, found = map(int, ascending), 0
    waited = next(wanted, None)
    for number, cut in enumerate(cuts):
        found += 1
        if number >= len(seconds) or cut.duration != seconds[number]:
            break
        if number == waited:
            yield cut
            waited = next(wanted, None)
    if found != len(seconds) or waited is not None:
        raise ValueError("the cuts were changed while they were read; rerun the same command.")


def choose_cuts(cuts: Iterable[MonoCut], seconds: Sequence[float], max_hours: float, seed: int) -> Selected:
    """All cuts in a seeded random order, or the first of them up to `max_hours` (0: no limit).

    Args:
      cuts: a list, or else they are read once more, and those that are chosen go to a temporary file.
      seconds: how long each lasts.
    Raises:
      ValueError: if others are read than those durations are of. OSError: if there is no room for the file.
    """
    chosen = _chosen_numbers(seconds, max_hours, seed)
    if isinstance(cuts, Sequence):
        return Selected(cuts, chosen)
    ascending = np.sort(chosen)
    return Selected(CutsOnDisk(_numbered(cuts, seconds, ascending)), np.searchsorted(ascending, chosen))
