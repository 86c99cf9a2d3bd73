"""The cuts of a run with their codes, one by one as its manifest is written, and what is found in passing."""

import array
from typing import Any, Dict, Iterable, Iterator, List

from lhotse import MonoCut

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.checksums import Places
from icefall_discrete.data.cuts import attach_stored
from icefall_discrete.extraction.encoding import Job
from icefall_discrete.extraction.journal import Journal


class CodedCuts:
    """The cuts that have codes, in order, to be iterated over once. Behind the last these are known:

    Attributes:
      drops: the cuts that have none, with the reason. num_cuts, audio_sec: of those that have. wall_sec, encode_sec: of
        all batches. places: where the codes are.
    """

    def __init__(self, batches: Iterable[Job], journal: Journal, spec: FeatureSpec, archive_name: str) -> None:
        """`batches`: those whose records the journal holds. `spec`, `archive_name`: of their codes."""
        self._batches, self._journal, self._spec, self._archive = batches, journal, spec, archive_name
        self.drops: List[Dict[str, str]] = []
        self.num_cuts, self.audio_sec, self.wall_sec, self.encode_sec = 0, 0.0, 0.0, 0.0
        self.places = Places()
        self._kept, self._dropped = array.array("L"), array.array("L")

    def __iter__(self) -> Iterator[MonoCut]:
        for (_, batch), record in zip(self._batches, self._journal):
            dropped = 0
            for cut, entry in zip(batch, record["entries"]):
                if isinstance(entry, dict):
                    self.drops.append({"id": cut.id, **entry})
                    dropped += 1
                    continue
                coded = attach_stored(cut, [entry] if isinstance(entry, str) else entry, self._spec, self._archive)
                self.places.add(coded)
                self.num_cuts += 1
                self.audio_sec += coded.duration
                yield coded
            self.wall_sec += record["wall_sec"]
            self.encode_sec += record["encode_sec"]
            self._kept.append(len(batch) - dropped)
            self._dropped.append(dropped)

    def batches(self, indices: Iterable[int]) -> Iterator[Dict[str, Any]]:
        """For the figures of a shard: the batches with these numbers, and how many of their cuts were kept."""
        for index, kept, dropped in zip(indices, self._kept, self._dropped):
            yield {"index": index, "num_cuts": kept, "num_dropped": dropped}
