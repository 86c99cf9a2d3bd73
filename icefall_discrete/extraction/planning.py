"""Which cuts of a split are encoded, in which order, and whether the tokenizer can take them."""

import collections
import logging
from typing import Any, Iterable, List, Sequence

from lhotse import MonoCut

from icefall_discrete.data.cuts import without_frames
from icefall_discrete.extraction.workers import check_languages

LOG = logging.getLogger(__name__)


def plan_cuts(cuts: Iterable[MonoCut], speed_factors: Sequence[float]) -> List[MonoCut]:
    """All cuts to encode, in order: for each factor, every cut at that speed, without codes or features.

    Ids of perturbed copies end in `_sp<factor>`. Raises ValueError for a factor that is not positive, an id that
    occurs twice, or a cut without a recording.
    """
    bare = [without_frames(cut) for cut in cuts]
    for cut in bare:
        if not cut.has_recording:
            raise ValueError(f"cut {cut.id}: has no recording to extract from; remake the manifest with recordings.")
    planned: List[MonoCut] = []
    for factor in speed_factors:
        if factor <= 0:
            raise ValueError(f"speed factor {factor}: expected a value > 0, such as 0.9.")
        planned += [cut if factor == 1.0 else cut.perturb_speed(factor) for cut in bare]
    counts = collections.Counter(cut.id for cut in planned)
    for cut_id, count in counts.items():
        if count > 1:
            raise ValueError(f"cut {cut_id} occurs {count} times; ids must be unique: remake the manifest.")
    return planned


def planned_cuts(
    cuts: Iterable[MonoCut], split: str, tokenizer: Any, speed_factors: Sequence[float], resample: bool
) -> List[MonoCut]:
    """As `plan_cuts`, of a split that must not be empty.

    Raises ValueError, naming the cut, also for another sample rate than the tokenizer's unless `resample`, and for a
    language that it does not know.
    """
    planned = plan_cuts(cuts, speed_factors)
    if not planned:
        raise ValueError(f"there are no cuts to extract for '{split}'; remake its manifest.")
    _check_sample_rates(planned, tokenizer, resample)
    check_languages(planned, tokenizer)
    return planned


def _check_sample_rates(cuts: Sequence[MonoCut], tokenizer: Any, resample: bool) -> None:
    others = [cut for cut in cuts if cut.sampling_rate != tokenizer.sample_rate_hz]
    if not others:
        return
    if resample:
        LOG.warning("%d of %d cuts are resampled to %d Hz", len(others), len(cuts), tokenizer.sample_rate_hz)
        return
    raise ValueError(
        f"cut {others[0].id}: its audio is at {others[0].sampling_rate} Hz, but {tokenizer.spec.name} reads "
        f"{tokenizer.sample_rate_hz} Hz ({len(others)} such cuts); allow resampling with --resample true, "
        "or remake the manifests at that rate."
    )
