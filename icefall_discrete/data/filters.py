"""Which cuts a system can be trained on; what is dropped is counted and named."""

import dataclasses
import logging
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from lhotse import CutSet
from lhotse.cut import Cut
from tqdm import tqdm

from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import is_speed_perturbed, language_of, num_frames, original_id
from icefall_discrete.data.label_share import labelled_ids
from icefall_discrete.data.language_sampling import hours_by_language
from icefall_discrete.data.shar import KeptCuts, SharSource
from icefall_discrete.data.targets.contract import LeftOut
from icefall_discrete.text.coverage import MAX_UNKNOWN_PERCENT

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FilterConfig:
    """Which utterances are trained on."""

    min_utterance_sec: float = setting(0.3, "shorter utterances are dropped, in seconds (paper's code: 1)", minimum=0)
    max_utterance_sec: float = setting(20.0, "longer utterances are dropped, in seconds", above=0)
    use_speed_copies: bool = setting(True, "train on the speed-perturbed copies too, not only on speed 1.0")
    languages: Tuple[str, ...] = setting(
        (), "train on, validate on and decode these languages only; none: all", distinct=True
    )
    label_fraction: float = setting(
        1.0,
        "share of the training transcripts used, by training, text pieces, language models and lexicons; the same of "
        "each language, a smaller share within a larger one",
        above=0,
        maximum=1,
    )
    max_unknown_percent: float = setting(
        MAX_UNKNOWN_PERCENT, "most characters of a split without a piece, in percent; more are refused", minimum=0
    )


class Filtered(NamedTuple):
    """The cuts that are kept, and the number dropped for each reason."""

    cuts: CutSet
    dropped: Dict[str, int]


def chosen_languages(cuts: CutSet, languages: Sequence[str]) -> CutSet:
    """The cuts in `languages`, or all of them if that is empty.

    Raises ValueError if there is none of a language; those that there are are named.
    """
    if not languages:
        return cuts
    kept: List[Cut] = []
    found: Dict[str, int] = {}
    for cut in cuts:
        language = language_of(cut) or "unknown"
        found[language] = found.get(language, 0) + 1
        if language in languages:
            kept.append(cut)
    absent = [language for language in languages if language not in found]
    if absent:
        there = ", ".join(f"{language} ({count})" for language, count in sorted(found.items()))
        raise ValueError(f"no cut is in language {', '.join(absent)}; there are: {there}. Correct --languages.")
    LOG.info("%d of %d cuts are in the languages %s", len(kept), sum(found.values()), ", ".join(languages))
    return CutSet.from_cuts(kept)


def drop_reason(
    cut: Cut,
    config: FilterConfig,
    spec: FeatureSpec,
    encoder_frames: Callable[[int], int],
    frames_needed: Callable[[Cut], int],
) -> Optional[str]:
    """Why the cut is not trained on, or None if it is: its speed, its duration, or too few encoder frames.

    `encoder_frames` maps the number of code frames T to T' (the count of codes decides: a token cut has no num_frames).
    `frames_needed` is the targets' (data/targets): as many as labels, say; a LeftOut that it raises is the reason.
    Raises what else it raises, such as a ValueError if the text is empty.
    """
    if not config.use_speed_copies and is_speed_perturbed(cut):
        return "speed-perturbed copy, which the recipe does not use"
    if cut.duration < config.min_utterance_sec:
        return f"shorter than {config.min_utterance_sec} s"
    if cut.duration > config.max_utterance_sec:
        return f"longer than {config.max_utterance_sec} s"
    try:
        needed = frames_needed(cut)
    except LeftOut as reason:
        return str(reason)
    found = encoder_frames(num_frames(cut, spec))
    if found < 1:
        return "too short: the network learns of none of its frames"
    return "fewer encoder frames than labels" if found < needed else None


def filter_cuts(
    cuts: CutSet,
    config: FilterConfig,
    spec: FeatureSpec,
    encoder_frames: Callable[[int], int],
    frames_needed: Callable[[Cut], int],
    what: str = "",
) -> Filtered:
    """Keep the cuts that have no `drop_reason`; log how many were dropped for which reason, with an example of each.

    `what` the cuts are for is in the log and in the errors.

    Raises ValueError if nothing is left, or if a language was asked for of which there is no cut.
    """
    cuts = chosen_languages(cuts, config.languages)
    tally = _Tally(what)
    kept = [cut for cut in cuts if tally.keeps(cut, drop_reason(cut, config, spec, encoder_frames, frames_needed))]
    return Filtered(CutSet.from_cuts(kept), tally.report())


def filter_shar(
    source: SharSource,
    config: FilterConfig,
    encoder_frames: Callable[[int], int],
    frames_needed: Callable[[Cut], int],
) -> KeptCuts:
    """As `filter_cuts`, for cuts that are read in sequence: one pass counts them, and each later pass filters anew."""

    labelled = labelled_ids(source.cuts(), config.label_fraction) if config.label_fraction < 1.0 else None

    def reason(cut: Cut) -> Optional[str]:
        if labelled is not None and original_id(cut, cut.id) not in labelled:
            return f"its label is not used (label_fraction {config.label_fraction:g})"
        if config.languages and language_of(cut) not in config.languages:
            return "another language"
        return drop_reason(cut, config, source.spec, encoder_frames, frames_needed)

    def keep(cut: Cut) -> bool:
        return reason(cut) is None

    tally = _Tally("")
    spoken_sec = [0.0]

    def kept() -> Iterator[Cut]:
        for cut in tqdm(source.cuts(), total=source.summary["num_cuts"], desc="filter", unit="cut"):
            if tally.keeps(cut, reason(cut)):
                spoken_sec[0] += 0.0 if is_speed_perturbed(cut) else cut.duration
                yield cut

    hours = hours_by_language(kept())
    tally.report()
    return KeptCuts(source, keep, hours, tally.num_kept, spoken_sec[0] / 3600)


class _Tally:
    """Counts cuts kept, and dropped by reason."""

    def __init__(self, what: str) -> None:
        self._cuts = f"{what} cuts".strip()
        self.num_kept = 0
        self._dropped: Dict[str, int] = {}
        self._example: Dict[str, str] = {}

    def keeps(self, cut: Cut, reason: Optional[str]) -> bool:
        """Count a cut; whether it has no reason to be dropped."""
        if reason is None:
            self.num_kept += 1
            return True
        self._dropped[reason] = self._dropped.get(reason, 0) + 1
        self._example.setdefault(reason, cut.id)
        return False

    def report(self) -> Dict[str, int]:
        """Log and return the number dropped for each reason. Raises ValueError if nothing is left."""
        total = self.num_kept + sum(self._dropped.values())
        for reason, count in sorted(self._dropped.items()):
            LOG.info("dropped %d of %d %s: %s (such as %s)", count, total, self._cuts, reason, self._example[reason])
        if not self.num_kept:
            raise ValueError(
                f"all {total} {self._cuts} were dropped: {self._dropped}; widen the filter or raise the frame rate."
            )
        return self._dropped
