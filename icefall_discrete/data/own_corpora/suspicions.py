"""What is suspicious about utterances: texts that do not fit their audio, audio that is silent or clipped, copies."""

import collections
import hashlib
import os
import statistics
from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence

from lhotse import MonoCut

from icefall_discrete.audio.loudness import Loudness, loudness_of
from icefall_discrete.audio.reading import UnreadableAudio, load_finite
from icefall_discrete.data.manifests import md5_of
from icefall_discrete.data.small_corpora import map_each

# Times the median of characters a second; far above: the text says more than the audio; far below: less.
TOO_FAST, TOO_SLOW = 2.5, 0.25
_SHORT_SEC = 1.0  # of what is shorter the rate says little


class Suspicion(NamedTuple):
    """What is suspicious about an utterance."""

    id: str
    what: str
    text: str


def characters_per_sec(cut: MonoCut) -> float:
    """Characters of a cut's text a second of its audio, spaces left out."""
    return sum(map(len, (cut.supervisions[0].text or "").split())) / cut.duration


def median_rate(cuts: Iterable[MonoCut]) -> float:
    """The median of characters a second."""
    return statistics.median(map(characters_per_sec, cuts))


def of_rates(cuts: Sequence[MonoCut]) -> List[Suspicion]:
    """Texts that are far too long or too short for their audio, compared with the corpus itself."""
    median = median_rate(cuts)
    found = []
    for cut in cuts:
        rate = characters_per_sec(cut)
        is_slow = rate < TOO_SLOW * median and cut.duration > _SHORT_SEC
        if rate > TOO_FAST * median or is_slow:
            much = "little" if is_slow else "much"
            what = f"too {much} text: {rate:.1f} characters a second, {median:.1f} are usual"
            found.append(Suspicion(cut.id, what, cut.supervisions[0].text or ""))
    return found


class Heard(NamedTuple):
    """What decoding an utterance's audio told: how loud it is, or why it cannot be read."""

    id: str
    loudness: "Loudness | None"
    reason: str


def _hear(cut: MonoCut) -> Heard:
    try:
        samples = load_finite(cut, cut.sampling_rate)
    except UnreadableAudio as error:
        return Heard(cut.id, None, f"cannot be used: {error}")
    return Heard(cut.id, loudness_of(samples.numpy(), cut.sampling_rate), "")


def hear(cuts: Sequence[MonoCut], most: int, num_jobs: int) -> List[Heard]:
    """Decode some utterances, drawn by the MD5 of their ids.

    Args:
      most: how many at most. num_jobs: processes.
    """
    drawn = sorted(cuts, key=lambda cut: hashlib.md5(cut.id.encode("utf-8")).hexdigest())[:most]
    return map_each(_hear, sorted(drawn, key=lambda cut: cut.id), num_jobs, "listen to audio")


def of_audio(heard: Iterable[Heard], texts: Mapping[str, str]) -> List[Suspicion]:
    """Audio that cannot be read, is silent, or clipped."""
    found = []
    for one in heard:
        what = one.reason
        if one.loudness is not None and one.loudness.is_silent:
            what = f"silent: its loudest parts are at {one.loudness.loud_db:.0f} dB of full scale"
        elif one.loudness is not None and one.loudness.clipped:
            what = f"clipped: {one.loudness.clipped} samples at full scale"
        if what:
            found.append(Suspicion(one.id, what, texts[one.id]))
    return found


def of_copies(cuts: Sequence[MonoCut], splits: Mapping[str, str]) -> List[Suspicion]:
    """Files of audio that hold the same bytes as another one; those of one size are read."""
    files: Dict[str, MonoCut] = {}
    for cut in cuts:
        source = cut.recording.sources[0]
        if source.type == "file":
            files.setdefault(str(source.source), cut)
    sizes: Dict[int, List[str]] = collections.defaultdict(list)
    for path in files:
        sizes[os.stat(path).st_size].append(path)
    first: Dict[str, MonoCut] = {}
    found = []
    for paths in sizes.values():
        for path in paths if len(paths) > 1 else ():
            cut = files[path]
            other = first.setdefault(md5_of(path), cut)
            if other is not cut:
                where = "" if splits[other.id] == splits[cut.id] else f", which is in {splits[other.id]}"
                what = f"the same audio as {other.id}{where}"
                found.append(Suspicion(cut.id, what, cut.supervisions[0].text or ""))
    return found
