"""Stage 1 of corpora of noisy or mixed speech: each utterance, and what it is made of, as cuts of the same id.

Manifests of mixtures are `<corpus>_cuts_<split>.jsonl.gz`, those of their sources `..._<split>-<source>.jsonl.gz`.
"""

import collections
import logging
from pathlib import Path
from typing import Dict, Iterator, Mapping, NamedTuple, Optional, Sequence

from lhotse import MonoCut, Recording, SupervisionSegment

from icefall_discrete.data.class_corpora import require_audio
from icefall_discrete.data.corpus_files import read_headers, whole_supervision
from icefall_discrete.data.manifests import CorpusError, PathLike, write_split
from icefall_discrete.data.sources import split_of_source

LOG = logging.getLogger(__name__)
REQUIRED = ("language",)


class Source(NamedTuple):
    """What a mixture is made of: its audio, and what is known of it."""

    audio: Path
    text: Optional[str] = None
    speaker: Optional[str] = None


class Mixture(NamedTuple):
    """An utterance of a corpus: its audio, a source by each name, and the language of them all."""

    audio: Path
    sources: Mapping[str, Source]
    language: str

    def require_sources(self, names: Sequence[str], where: str, advice: str) -> None:
        """Raise CorpusError unless it has exactly the sources `names`, of several speakers if there are several."""
        if list(self.sources) != list(names):
            raise CorpusError(
                f"{where} has the sources {', '.join(self.sources) or 'none'}, expected {', '.join(names)}; {advice}."
            )
        speakers = collections.Counter(one.speaker for one in self.sources.values() if one.speaker)
        for speaker, count in speakers.items():
            if count > 1:
                raise CorpusError(f"{where}: {count} of its sources are of speaker {speaker} alone; {advice}.")


def write_mixtures(
    folder: PathLike, corpus: str, splits: Mapping[str, Mapping[str, Mixture]], num_jobs: int, advice: str
) -> None:
    """Read the headers of all audio and write the manifests of each split.

    Args:
      splits: mixtures by id, by split. num_jobs: processes that read headers. advice: end of sentences about what is
        wrong with the corpus.
    Raises:
      CorpusError: for audio that is missing, and for a source that is not as long as its mixture; nothing is written.
    """
    for split, mixtures in splits.items():
        if not mixtures:
            raise CorpusError(f"{split}: it holds no utterance; {advice}.")
    cuts = {split: list(_cuts_of(split, mixtures, num_jobs, advice)) for split, mixtures in splits.items()}
    for split, of_split in cuts.items():
        write_pairs(folder, corpus, split, of_split)


class MixtureCuts(NamedTuple):
    """Cuts of one id: of the mixture, and of each source by its name."""

    mixture: MonoCut
    sources: Dict[str, MonoCut]


def write_pairs(folder: PathLike, corpus: str, split: str, cuts: Sequence[MixtureCuts]) -> None:
    """Write the manifest of a split and those of its sources. Raises CorpusError as `write_split`."""
    write_split(folder, corpus, split, (one.mixture for one in cuts), required=REQUIRED)
    for source in cuts[0].sources if cuts else ():
        of_source = (one.sources[source] for one in cuts)
        write_split(folder, corpus, split_of_source(split, source), of_source, required=REQUIRED)


def _cuts_of(split: str, mixtures: Mapping[str, Mixture], num_jobs: int, advice: str) -> Iterator[MixtureCuts]:
    files = {name: one.audio for name, one in mixtures.items()}
    for name, one in mixtures.items():
        files.update((f"{name}-{source}", found.audio) for source, found in one.sources.items())
    require_audio(split, files, advice)
    recordings = read_headers(files, num_jobs).recordings
    for name, one in sorted(mixtures.items()):
        sought = [name, *(f"{name}-{source}" for source in one.sources)]
        if any(recording not in recordings for recording in sought):
            LOG.warning(f"{split}: {name} is left out, as audio of it cannot be read")
            continue
        yield mixture_cuts(name, one, {recording: recordings[recording] for recording in sought}, advice)


def mixture_cuts(name: str, mixture: Mixture, recordings: Mapping[str, Recording], advice: str) -> MixtureCuts:
    """Cuts of a mixture and its sources, `recordings` by `<name>` and `<name>-<source>`.

    Raises CorpusError for a source of another length or rate.
    """
    whole = recordings[name]
    sources = {}
    for source, one in mixture.sources.items():
        recording = recordings[f"{name}-{source}"]
        if (recording.num_samples, recording.sampling_rate) != (whole.num_samples, whole.sampling_rate):
            raise CorpusError(
                f"{mixture.audio} has {whole.num_samples} samples at {whole.sampling_rate} Hz, but {source} of it, "
                f"{one.audio}, {recording.num_samples} at {recording.sampling_rate} Hz, expected the same; {advice}."
            )
        supervision = whole_supervision(recording, one.text, mixture.language, one.speaker)
        sources[source] = _whole_cut(name, recording, supervision)
    # Of several at once no one's text and voice are the mixture's.
    known = next(iter(mixture.sources.values())) if len(sources) == 1 else Source(mixture.audio)
    supervision = whole_supervision(whole, known.text, mixture.language, known.speaker)
    return MixtureCuts(_whole_cut(name, whole, supervision), sources)


def _whole_cut(name: str, recording: Recording, supervision: SupervisionSegment) -> MonoCut:
    place = (0.0, recording.duration, recording.channel_ids[0])
    return MonoCut(name, *place, supervisions=[supervision], recording=recording)
