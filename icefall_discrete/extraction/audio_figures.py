"""Audio against the audio that it was made from: pairs of two manifests or folders, and their figures."""

import json
import logging
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from lhotse import Recording
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.audio.reading import UnreadableAudio, load_finite, load_recording, open_recording
from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.data.cuts import load_audio_cuts
from icefall_discrete.data.facts import facts_of
from icefall_discrete.metrics.reconstruction import Figures, ReconstructionFigures, reconstruction

LOG = logging.getLogger(__name__)
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a", ".aiff", ".au")


class AudioSource:
    """Utterances by name: cuts of a manifest by their ids, or files, those of a folder by paths without suffix."""

    def __init__(self, path: PathLike, files: Optional[Mapping[str, Path]] = None) -> None:
        """`path`: a manifest, or a folder. `files`: the only ones, by name, in place of what lies there.

        Raises ValueError for a folder without audio, or with a name twice.
        """
        self.path = Path(path)
        if files is None and not self.path.exists():
            raise FileNotFoundError(f"{self.path} does not exist; give a manifest of cuts, or a folder of audio files.")
        self._files: Dict[str, Path] = dict(files or {})
        self._cuts = (
            {} if files is not None or self.path.is_dir() else {cut.id: cut for cut in load_audio_cuts(self.path)}
        )
        if self.path.is_dir() and files is None:
            found = sorted(one for one in self.path.rglob("*") if one.suffix.lower() in AUDIO_SUFFIXES)
            for one in filter(Path.is_file, found):
                other = self._files.setdefault(str(one.relative_to(self.path).with_suffix("")), one)
                if other is not one:
                    raise ValueError(f"{other} and {one} are of one name; expected a single file for each utterance.")
            if not self._files:
                raise ValueError(f"{self.path} holds no audio; expected a file for each utterance.")

    @property
    def names(self) -> List[str]:
        """All utterances."""
        return [*self._cuts, *self._files]

    def rate_hz(self, name: str) -> int:
        """Sample rate of an utterance as it is stored. Raises UnreadableAudio, naming the file."""
        return self._cuts[name].sampling_rate if name in self._cuts else self._opened(name).sampling_rate

    def samples(self, name: str, sample_rate_hz: int) -> Tensor:
        """Samples (S,) at the rate. Raises UnreadableAudio, naming the cut or the file."""
        if name in self._cuts:
            return load_finite(self._cuts[name], sample_rate_hz)
        try:
            return load_recording(self._opened(name), sample_rate_hz)
        except UnreadableAudio as error:
            raise UnreadableAudio(f"{self._files[name]}: {error}") from error

    def fact(self, name: str, fact: str) -> Optional[str]:
        """A fact of an utterance, such as its speaker; None where it is not known, and of files."""
        value = facts_of(self._cuts[name]).get(fact) if name in self._cuts else None
        return None if value is None else str(value)

    def _opened(self, name: str) -> Recording:
        try:
            return open_recording(self._files[name], name)
        except UnreadableAudio as error:
            raise UnreadableAudio(f"{self._files[name]}: {error}") from error


class PairSettings(NamedTuple):
    """sample_rate_hz: at which pairs are measured; None: their own, which must then be the same. judges, same_pace: as
    of `reconstruction`."""

    sample_rate_hz: Optional[int]
    judges: Sequence[str]
    same_pace: bool


def _measured(name: str, reference: AudioSource, estimate: AudioSource, settings: PairSettings) -> Figures:
    rate = settings.sample_rate_hz
    if rate is None:
        rate, other = reference.rate_hz(name), estimate.rate_hz(name)
        if rate != other:
            raise ValueError(
                f"{name}: the reference has {rate} Hz, the estimate {other} Hz; say at which rate to measure them with "
                f"--sample-rate {min(rate, other)}."
            )
    first, second = (one.samples(name, rate).double().numpy() for one in (reference, estimate))
    try:
        return reconstruction(first, second, rate, settings.judges, settings.same_pace)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def audio_scores(
    reference: AudioSource,
    estimate: AudioSource,
    settings: PairSettings,
    details: Optional[PathLike] = None,
    others: Optional[Callable[[str, AudioSource, AudioSource], Figures]] = None,
) -> Tuple[Dict[str, Any], int]:
    """The figures of all utterances that both have, for `sets.<split>` of a result, and how many only one of them has.

    Args:
      details: file to write the figures of each utterance to, a JSON object a line.
      others: gives other figures of an utterance, such as those of its voice; its name, the reference, the estimate.
    Raises:
      ValueError: if they share no utterance, or one cannot be measured; it is named.
    """
    theirs = set(estimate.names)
    shared = [name for name in reference.names if name in theirs]
    if not shared:
        raise ValueError(
            f"{reference.path} and {estimate.path} share no utterance (such as '{reference.names[0]}' and "
            f"'{estimate.names[0]}'); expected the same ids, or the same names of files."
        )
    alone = len(set(reference.names) ^ theirs)
    if alone:
        LOG.warning(f"{alone} utterances are in one of {reference.path} and {estimate.path} only; they are left out")
    figures, lines = ReconstructionFigures(), []
    for name in tqdm(shared, desc="measure", unit="utterance"):
        found = _measured(name, reference, estimate, settings)
        if others is not None:
            found.update(others(name, reference, estimate))
        figures.add(found)
        lines.append(json.dumps({"id": name, **found}, ensure_ascii=False) + "\n")
    if details is not None:
        write_text(details, "".join(lines))
    return figures.scores(), alone
