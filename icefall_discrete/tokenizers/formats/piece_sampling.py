"""Other divisions of the same units into pieces, drawn for training: sentencepiece's sampling, ESPnet's BPE dropout.

sentencepiece draws from a generator that cannot be set again once it was used, so that a resumed training would see
other pieces; here the draw depends on its seed alone. Letters: U units of an utterance, P pieces.
"""

import itertools
import math
import random
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from icefall_discrete.tokenizers.formats.unit_pieces import MAX_PIECE_UNITS, UnitPieces

Key = Tuple[int, ...]


def _log_sum(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))


class PieceSampler:
    """Draws a division of units into pieces.

    A unigram model's pieces have log-probs: a division is drawn with a probability proportional to its own to the power
    of `alpha` (Kudo 2018, https://arxiv.org/abs/1804.10959, all divisions, l = infinity). A bpe model's pieces have the
    order in which they were merged: units are merged by it, each merge being left out with probability `alpha` as often
    as it could be made (BPE-dropout, https://arxiv.org/abs/1910.13267).

    Args:
      pieces: the model. alpha: above 0.
    Raises:
      ValueError: if several pieces stand for the same units, or one for none, as in models that ESPnet trained.
    """

    def __init__(self, pieces: UnitPieces, alpha: float) -> None:
        self._alpha = alpha
        self._ids: Dict[Key, int] = {tuple(pieces.units_of(piece)): piece for piece in range(len(pieces))}
        self._units = [tuple(pieces.units_of(piece)) for piece in range(len(pieces))]
        if len(self._ids) < len(pieces) or () in self._ids:
            raise ValueError(
                "the pieces of units are not one for each row of units (ESPnet's also mark where utterances begin), so "
                "that other divisions cannot be drawn; use --unit-bpe-alpha 0."
            )
        self._scores = pieces.scores
        self._longest = min(MAX_PIECE_UNITS, max(map(len, self._units)))
        self._divide: Callable[[Key, random.Random], List[int]]
        self._divide = self._merged if pieces.is_merged else self._drawn

    def __call__(self, codes: Sequence[int], seed: int) -> List[int]:
        """Other pieces for those of an utterance, which stand for the same units.

        Where fewer pieces are drawn than there were, those of before stay: the filter knows that labels fit to them.
        """
        units: Key = tuple(unit for piece in codes for unit in self._units[piece])
        found = self._divide(units, random.Random(seed))
        return found if len(found) >= len(codes) else list(codes)

    def _drawn(self, units: Key, generator: random.Random) -> List[int]:
        """Forward sums, then pieces from the last one to the first."""
        ways: List[List[Tuple[float, int, int]]] = [[]]  # at each place: log weight, beginning, and number of a piece
        sums = [0.0]
        for end in range(1, len(units) + 1):
            here = []
            for start in range(max(0, end - self._longest), end):
                piece = self._ids.get(units[start:end])
                if piece is not None:
                    here.append((sums[start] + self._alpha * self._scores[piece], start, piece))
            ways.append(here)
            sums.append(_log_sum([way[0] for way in here]))
        pieces, end = [], len(units)
        while end > 0:
            weights = [math.exp(way[0] - sums[end]) for way in ways[end]]
            _, start, piece = generator.choices(ways[end], weights)[0]
            pieces.append(piece)
            end = start
        return pieces[::-1]

    def _merged(self, units: Key, generator: random.Random) -> List[int]:
        """Merge the pair that was merged first in training, of those that are not left out this time, until none is."""
        parts: List[Key] = [(unit,) for unit in units]
        while True:
            best: Optional[Tuple[float, int]] = None
            for place, (left, right) in enumerate(itertools.pairwise(parts)):
                piece = self._ids.get(left + right)
                if piece is None or generator.random() < self._alpha:
                    continue
                if best is None or self._scores[piece] > best[0]:
                    best = (self._scores[piece], place)
            if best is None:
                return [self._ids[part] for part in parts]
            parts[best[1] : best[1] + 2] = [parts[best[1]] + parts[best[1] + 1]]
