"""Which cuts of a split are encoded, in which order and batches, and whether the tokenizer can take them.

No cut is held: a split is read once to look at each, and once more for each thing that is done with it. What stays is
a number for each id and the size of each batch.
"""

import array
import hashlib
import itertools
import json
import logging
from typing import Any, Iterable, Iterator, Optional, Sequence, Set

from lhotse import MonoCut

from icefall_discrete.data.cuts import without_frames
from icefall_discrete.data.distinct import SeenIds
from icefall_discrete.extraction.encoding import Job
from icefall_discrete.extraction.workers import check_language

LOG = logging.getLogger(__name__)


def plan_cuts(cuts: Iterable[MonoCut], speed_factors: Sequence[float]) -> Iterator[MonoCut]:
    """All cuts to encode, in order: for each factor, every cut at that speed, without codes or features.

    Ids of perturbed copies end in `_sp<factor>`.

    Args:
      cuts: read once for each factor.
    Raises:
      ValueError: for a factor that is not positive, or a cut without a recording.
    """
    for factor in speed_factors:
        if factor <= 0:
            raise ValueError(f"speed factor {factor}: expected a value > 0, such as 0.9.")
        for cut in map(without_frames, cuts):
            if not cut.has_recording:
                raise ValueError(
                    f"cut {cut.id}: has no recording to extract from; remake the manifest with recordings."
                )
            yield cut if factor == 1.0 else cut.perturb_speed(factor)


class _Rates:
    """Counts the cuts whose audio has another sample rate than the tokenizer's."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._first: Optional[MonoCut] = None
        self._others = 0

    def add(self, cut: MonoCut) -> None:
        """Look at the next cut."""
        if cut.sampling_rate != self._tokenizer.sample_rate_hz:
            self._first = self._first or cut
            self._others += 1

    def require(self, resample: bool, num_cuts: int) -> None:
        """Raise ValueError, naming the first, if there are such cuts and they may not be resampled."""
        if self._first is None:
            return
        rate = self._tokenizer.sample_rate_hz
        if not resample:
            raise ValueError(
                f"cut {self._first.id}: its audio is at {self._first.sampling_rate} Hz, but "
                f"{self._tokenizer.spec.name} reads {rate} Hz ({self._others} such cuts); allow resampling with "
                "--resample true, or remake the manifests at that rate."
            )
        LOG.warning("%d of %d cuts are resampled to %d Hz", self._others, num_cuts, rate)


class Plan:
    """The cuts of a split that are to be encoded, in order, and the batches that they are divided into.

    Iterating reads them anew. A batch is so many cuts in a row that they last about as long as it should.

    Attributes:
      digest: of all that the cuts say but where their audio lies. num_cuts: with copies at other speeds.
      seconds, sizes: of each batch, and how many cuts it has.
    """

    def __init__(self, cuts: Iterable[MonoCut], speed_factors: Sequence[float], batch_sec: float) -> None:
        """`batch_sec`: a batch ends with the cut that makes it last so long."""
        self._cuts = list(cuts) if iter(cuts) is cuts else cuts
        self._factors, self._batch_sec = speed_factors, batch_sec
        self.digest, self.num_cuts = "", 0
        self.seconds = array.array("d")
        self.sizes = array.array("L")
        self._ids = SeenIds()

    def __iter__(self) -> Iterator[MonoCut]:
        return plan_cuts(self._cuts, self._factors)

    def check(self, split: str, tokenizer: Any, resample: bool) -> None:
        """Look at every cut, once.

        Raises ValueError, naming the cut, if it has no recording, an id that occurs twice, another sample rate than
        the tokenizer's unless `resample`, or a language that it does not know; and for a split without cuts.
        """
        digest, rates = hashlib.sha256(), _Rates(tokenizer)
        languages: Set[Optional[str]] = set()
        for cut in self:
            rates.add(cut)
            check_language(cut, tokenizer, languages)
            values = cut.to_dict()
            del values["recording"]["sources"]  # audio may be moved to another folder
            digest.update(json.dumps(values, sort_keys=True).encode())
            self._ids.add(cut.id)
            self._add(cut.duration)
        self.digest, self.num_cuts = digest.hexdigest(), len(self._ids)
        if not self.num_cuts:
            raise ValueError(f"there are no cuts to extract for '{split}'; remake its manifest.")
        for cut_id, count in self._ids.repeated(cut.id for cut in self).items():
            raise ValueError(f"cut {cut_id} occurs {count} times; ids must be unique: remake the manifest.")
        rates.require(resample, self.num_cuts)

    def _add(self, duration: float) -> None:
        if not self.seconds or self.seconds[-1] >= self._batch_sec:
            self.seconds.append(0.0)
            self.sizes.append(0)
        self.seconds[-1] += duration
        self.sizes[-1] += 1

    def batches(self, wanted: Iterable[int]) -> Iterator[Job]:
        """The batches with these numbers, which ascend. Raises ValueError if the cuts are no longer what they were."""
        waiting, cuts = iter(wanted), iter(self)
        number, place = next(waiting, None), 0
        for index, size in enumerate(self.sizes):
            if number is None:
                return
            batch = list(itertools.islice(cuts, size))
            seconds = sum(cut.duration for cut in batch)
            if not self._ids.were(place, [cut.id for cut in batch]) or seconds != self.seconds[index]:
                raise ValueError(
                    "the cuts were changed while they were extracted; rerun the same command, which goes on if they "
                    "are again what they were."
                )
            place += size
            if index == number:
                yield index, batch
                number = next(waiting, None)
