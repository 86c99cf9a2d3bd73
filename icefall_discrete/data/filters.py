"""Which cuts a transducer can be trained on; what is dropped is counted and named."""

import dataclasses
import logging
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.config import setting
from icefall_discrete.data.cuts import num_frames, text_of
from icefall_discrete.spec import FeatureSpec

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FilterConfig:
    """Which utterances are trained on."""

    min_utterance_sec: float = setting(0.3, "shorter utterances are dropped, in seconds (paper's code: 1)")
    max_utterance_sec: float = setting(20.0, "longer utterances are dropped, in seconds")
    use_speed_copies: bool = setting(True, "train on the speed-perturbed copies too, not only on speed 1.0")


class Filtered(NamedTuple):
    """The cuts that are kept, and the number dropped for each reason."""

    cuts: CutSet
    dropped: Dict[str, int]


def is_speed_copy(cut: Cut) -> bool:
    """Whether the cut's audio was played at another speed (lhotse's perturb_speed)."""
    transforms = (cut.recording.transforms if cut.has_recording else None) or []
    names = [step["name"] if isinstance(step, dict) else type(step).__name__ for step in transforms]
    return "Speed" in names


def drop_reason(
    cut: Cut,
    config: FilterConfig,
    spec: FeatureSpec,
    encoder_frames: Callable[[int], int],
    labels_of: Callable[[str], Sequence[int]],
) -> Optional[str]:
    """Why the cut is not trained on, or None if it is: its speed, its duration, or fewer encoder frames than labels.

    `encoder_frames` maps the number of code frames T to T' (the count of codes decides: a token cut has no num_frames).
    Raises ValueError if the text is empty.
    """
    if not config.use_speed_copies and is_speed_copy(cut):
        return "speed-perturbed copy, which the recipe does not use"
    if cut.duration < config.min_utterance_sec:
        return f"shorter than {config.min_utterance_sec} s"
    if cut.duration > config.max_utterance_sec:
        return f"longer than {config.max_utterance_sec} s"
    if encoder_frames(num_frames(cut, spec)) < max(1, len(labels_of(text_of(cut)))):
        return "fewer encoder frames than labels"
    return None


def filter_cuts(
    cuts: CutSet,
    config: FilterConfig,
    spec: FeatureSpec,
    encoder_frames: Callable[[int], int],
    labels_of: Callable[[str], Sequence[int]],
) -> Filtered:
    """Keep the cuts that have no `drop_reason`; log how many were dropped for which reason, with an example of each.

    Raises ValueError if nothing is left.
    """
    kept: List[Cut] = []
    dropped: Dict[str, int] = {}
    example: Dict[str, str] = {}
    for cut in cuts:
        reason = drop_reason(cut, config, spec, encoder_frames, labels_of)
        if reason is None:
            kept.append(cut)
            continue
        dropped[reason] = dropped.get(reason, 0) + 1
        example.setdefault(reason, cut.id)
    total = len(kept) + sum(dropped.values())
    for reason, count in sorted(dropped.items()):
        LOG.info("dropped %d of %d cuts: %s (such as %s)", count, total, reason, example[reason])
    if not kept:
        raise ValueError(f"all {total} cuts were dropped: {dropped}; widen the filter or raise the frame rate.")
    return Filtered(CutSet.from_cuts(kept), dropped)
