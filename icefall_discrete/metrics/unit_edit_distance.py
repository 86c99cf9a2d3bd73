"""Unit edit distance: how many codes change when noise is added to the audio, which changes no word of it.

Levenshtein distance between the codes of clean and of noisy audio over the number of clean codes, as StableToken
(arXiv 2509.22220) uses it. A corpus's distance is the sum of edits over the sum of lengths, as a word error rate is.
Each of the K streams of codes is compared by itself. Without repetitions, runs of a code count as one unit: what is
left is the order of sounds, and a boundary that moves by a frame costs nothing.
"""

import dataclasses
from typing import List

import kaldialign
import numpy as np


def without_repetitions(units: np.ndarray) -> np.ndarray:
    """The units (T,) with each run of equal ones as one.

    >>> without_repetitions(np.array([7, 7, 2, 2, 2, 7])).tolist()
    [7, 2, 7]
    """
    if len(units) == 0:
        return units
    return units[np.concatenate([[True], units[1:] != units[:-1]])]


def edit_distance(clean: np.ndarray, noisy: np.ndarray) -> int:
    """Fewest insertions, deletions and substitutions that make (T,) units into (T',) units."""
    return kaldialign.edit_distance(clean.tolist(), noisy.tolist())["total"]


@dataclasses.dataclass
class StreamEdits:
    """Sums over utterances of one stream: edits and clean units, with repetitions and without."""

    edits: int = 0
    units: int = 0
    edits_without_repetitions: int = 0
    units_without_repetitions: int = 0

    def add(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        """Count one utterance: units (T,) and (T',)."""
        self.edits += edit_distance(clean, noisy)
        self.units += len(clean)
        short_clean, short_noisy = without_repetitions(clean), without_repetitions(noisy)
        self.edits_without_repetitions += edit_distance(short_clean, short_noisy)
        self.units_without_repetitions += len(short_clean)

    @property
    def percent(self) -> float:
        """Unit edit distance in percent of the clean units; with more noisy units than clean ones it can pass 100."""
        return 100.0 * self.edits / self.units

    @property
    def percent_without_repetitions(self) -> float:
        """The same of units without repetitions."""
        return 100.0 * self.edits_without_repetitions / self.units_without_repetitions


class UnitEditDistance:
    """Counts edits in K streams of codes over any number of utterances."""

    def __init__(self, num_streams: int) -> None:
        self.streams: List[StreamEdits] = [StreamEdits() for _ in range(num_streams)]

    def add(self, clean: np.ndarray, noisy: np.ndarray) -> None:
        """Count the codes of one utterance, clean (T, K) and noisy (T', K). Raises ValueError for another K."""
        for name, codes in (("clean", clean), ("noisy", noisy)):
            if codes.ndim != 2 or codes.shape[1] != len(self.streams):
                raise ValueError(f"{name} codes are {codes.shape}, expected (T, {len(self.streams)}).")
        for k, stream in enumerate(self.streams):
            stream.add(clean[:, k], noisy[:, k])

    @property
    def percent(self) -> float:
        """Mean of the streams' unit edit distances in percent. Raises ValueError if nothing was counted."""
        self._require_units()
        return float(np.mean([stream.percent for stream in self.streams]))

    @property
    def percent_without_repetitions(self) -> float:
        """The same of units without repetitions."""
        self._require_units()
        return float(np.mean([stream.percent_without_repetitions for stream in self.streams]))

    def _require_units(self) -> None:
        if not all(stream.units for stream in self.streams):
            raise ValueError("a unit edit distance needs at least one clean unit in each stream, got none.")
