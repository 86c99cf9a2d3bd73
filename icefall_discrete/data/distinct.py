"""Ids that are each there once, of a stream that is too long to keep its ids: eight bytes each."""

import array
import collections
import hashlib
from typing import Dict, Iterable

import numpy as np


def number_of(cut_id: str) -> int:
    """A number for an id, which others hardly have: of 10^7 ids two share one with a probability of 3e-6."""
    return int.from_bytes(hashlib.blake2b(cut_id.encode(), digest_size=8).digest(), "little")


class SeenIds:
    """The numbers of ids, in the order in which they were seen."""

    def __init__(self) -> None:
        self._numbers = array.array("Q")

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, cut_id: str) -> None:
        """Note the next id."""
        self._numbers.append(number_of(cut_id))

    def were(self, place: int, ids: Iterable[str]) -> bool:
        """Whether from number `place` on these ids were seen."""
        numbers = array.array("Q", map(number_of, ids))
        return self._numbers[place : place + len(numbers)] == numbers

    def repeated(self, ids: Iterable[str]) -> Dict[str, int]:
        """Which ids occur several times, and how often; `ids` are all of them again, read only if numbers repeat."""
        numbers = np.sort(np.frombuffer(self._numbers, np.uint64)) if self._numbers else np.empty(0, np.uint64)
        shared = set(numbers[1:][numbers[1:] == numbers[:-1]].tolist())
        counts = collections.Counter(one for one in ids if number_of(one) in shared) if shared else {}
        return {cut_id: count for cut_id, count in counts.items() if count > 1}
