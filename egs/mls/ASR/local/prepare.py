#!/usr/bin/env python3
"""Stage 1: Multilingual LibriSpeech, one language or several -> `mls_cuts_{train,dev,test}.jsonl.gz`.

Transcripts, audio files and speakers are compared first; then headers are read, one language after another, which are
kept in manifests/lhotse. The language is a field of the supervision, as MLS names it (polish). Audio that cannot be
read is left out, by name.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from lhotse import MonoCut, RecordingSet, SupervisionSet
from lhotse.utils import fastcopy

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.corpus_files import files_by_id, read_headers, transcripts_in, whole_supervision
from icefall_discrete.data.manifests import (
    CorpusError,
    listed,
    require_count,
    require_pairs,
    require_paths,
    utterance_cuts,
    write_split,
)

SPLITS = ("train", "dev", "test")
# Utterances of train, dev and test, from the data set's card (huggingface.co, facebook/multilingual_librispeech).
UTTERANCES = {
    "dutch": (374287, 3095, 3075),
    "french": (258213, 2416, 2426),
    "german": (469942, 3469, 3394),
    "italian": (59623, 1248, 1262),
    "polish": (25043, 512, 520),
    "portuguese": (37533, 826, 871),
    "spanish": (220701, 2408, 2385),
}
ADVICE = "unpack the archive of the language again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which languages are prepared, and where everything lies."""

    corpus_dir: str = setting("download/mls", "folder with mls_<language> (FLAC) or mls_<language>_opus")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    languages: Tuple[str, ...] = setting(tuple(UTTERANCES), "languages to prepare, into one set of manifests")
    nj: int = setting(2, "processes that read headers of audio")
    check_counts: bool = setting(True, "refuse a split whose number of utterances is not the published one")


class Source(NamedTuple):
    """One language of the corpus on disk."""

    language: str
    folder: Path

    @property
    def suffix(self) -> str:
        """Of its audio files."""
        return ".opus" if self.folder.name.endswith("_opus") else ".flac"


def find_source(corpus_dir: Path, language: str) -> Source:
    """The folder of a language, of which FLAC is preferred.

    Raises:
      CorpusError: for an unknown language, or one whose folder is missing.
    """
    if language not in UTTERANCES:
        raise CorpusError(f"unknown language '{language}'; known: {', '.join(UTTERANCES)}.")
    names = (f"mls_{language}", f"mls_{language}_opus")
    found = next((corpus_dir / name for name in names if (corpus_dir / name).is_dir()), None)
    if found is None:
        raise CorpusError(f"{corpus_dir} has neither {' nor '.join(names)}; run stage 0, which says where to get it.")
    return Source(language, found)


def read_texts(transcripts: Path) -> Dict[str, str]:
    """Text by id of a transcripts.txt. Raises CorpusError for a line that is not an id, a tab and a text."""
    broken = [f"line {number}" for number, line in numbered_lines(transcripts) if line.count("\t") != 1]
    if broken:
        raise CorpusError(f"{transcripts}: expected an id, a tab and a text, not so {listed(broken)}; {ADVICE}.")
    return transcripts_in([transcripts], "\t")


def read_speakers(source: Source) -> Dict[str, str]:
    """Gender by speaker, from metainfo.txt."""
    lines = (line.split("|") for _, line in numbered_lines(source.folder / "metainfo.txt"))
    return {fields[0].strip(): fields[1].strip() for fields in lines if len(fields) > 1}


def audio_files(source: Source, split: str) -> Dict[str, Path]:
    """Audio file by id of a split."""
    folder = source.folder / split / "audio"
    return files_by_id(folder.rglob(f"*{source.suffix}"), str(folder))


def check_whole(source: Source, check_counts: bool) -> None:
    """Compare transcripts, audio files, speakers and published counts of a language.

    Raises:
      CorpusError: at the first split that is not whole, with names and counts.
    """
    parts = [f"{split}/{part}" for split in SPLITS for part in ("audio", "transcripts.txt")]
    require_paths(source.folder, ["metainfo.txt", *parts], ADVICE)
    speakers = set(read_speakers(source))
    for split, published in zip(SPLITS, UTTERANCES[source.language]):
        where = f"{source.folder / split}"
        ids = set(read_texts(source.folder / split / "transcripts.txt"))
        require_pairs(where, ids, set(audio_files(source, split)), ADVICE)
        unknown = {name.split("_")[0] for name in ids} - speakers
        if unknown:
            raise CorpusError(
                f"{where}: {len(unknown)} speakers are not in metainfo.txt ({listed(unknown)}); {ADVICE}."
            )
        if check_counts:
            require_count(where, len(ids), published, f"{ADVICE}, or go on with --check-counts false")


def lhotse_manifests(source: Source, data_dir: Path, num_jobs: int) -> Path:
    """Folder of recordings and supervisions of a language; those of a language that is done are made once."""
    done = data_dir / "manifests" / "lhotse" / source.language
    if done.is_dir():
        return done
    partial = done.with_name(f"{source.language}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    genders = read_speakers(source)
    for split in SPLITS:
        texts = read_texts(source.folder / split / "transcripts.txt")
        recordings = read_headers(audio_files(source, split), num_jobs).recordings
        supervisions = []
        for name, recording in recordings.items():
            speaker = name.split("_")[0]
            item = whole_supervision(recording, texts[name], source.language, speaker)
            supervisions.append(fastcopy(item, gender=genders[speaker]))
        RecordingSet.from_recordings(recordings.values()).to_jsonl(
            partial / f"mls-{source.language}_recordings_{split}.jsonl.gz"
        )
        SupervisionSet.from_segments(supervisions).to_jsonl(
            partial / f"mls-{source.language}_supervisions_{split}.jsonl.gz"
        )
    partial.rename(done)
    return done


def cuts_of(split: str, sources: List[Source], data_dir: Path, num_jobs: int) -> Iterator[MonoCut]:
    """The cuts of a split, one language after another, with the language's name before each id."""
    for source in sources:
        folder = lhotse_manifests(source, data_dir, num_jobs)
        recordings = RecordingSet.from_file(folder / f"mls-{source.language}_recordings_{split}.jsonl.gz")
        supervisions = SupervisionSet.from_file(folder / f"mls-{source.language}_supervisions_{split}.jsonl.gz")
        for cut in utterance_cuts(recordings, supervisions):
            yield cut.with_id(f"{source.language}-{cut.id}")


def drop_reason(cut: MonoCut) -> Optional[str]:
    """Why an utterance is left out, or None."""
    return None if (cut.supervisions[0].text or "").strip() else "no words"


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if a language is unknown, absent or not whole.
    """
    sources = [find_source(Path(config.corpus_dir), language) for language in config.languages]
    for source in sources:
        check_whole(source, config.check_counts)
    data_dir = Path(config.data_dir)
    for split in SPLITS:
        cuts = cuts_of(split, sources, data_dir, config.nj)
        write_split(data_dir / "manifests", "mls", split, cuts, drop_reason)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
