"""Cuts that are made whenever they are asked for, and counted: how many there ever were at once."""

import weakref
from typing import Callable, Iterable, Iterator, List

from lhotse import MonoCut


class WatchedCuts:
    """What `make` gives, anew at each reading; `most` is how many of them lived at once, `readings` how many began."""

    def __init__(self, make: Callable[[], Iterable[MonoCut]]) -> None:
        self.live, self.most, self.readings = 0, 0, 0
        self._make = make
        self._refs: List[weakref.ref[MonoCut]] = []

    def __iter__(self) -> Iterator[MonoCut]:
        self.readings += 1
        for cut in self._make():
            self.live += 1
            self.most = max(self.most, self.live)
            self._refs.append(weakref.ref(cut, self._gone))
            yield cut

    def _gone(self, _: object) -> None:
        self.live -= 1
