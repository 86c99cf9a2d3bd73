#!/usr/bin/env python3
"""Stage 1: Multilingual LibriSpeech, one language or several -> `mls_cuts_{train,dev,test}.jsonl.gz`.

Transcripts, audio files and speakers are compared first; then lhotse's own reader makes recordings and supervisions,
one language after another. The language is a field of the supervision, as MLS names it (polish).
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Set, Tuple

from lhotse import MonoCut, RecordingSet, SupervisionSet
from lhotse.recipes import prepare_mls

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
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


def read_ids(transcripts: Path) -> List[str]:
    """Ids of utterances of a transcripts.txt. Raises CorpusError for a line that is not an id, a tab and a text."""
    lines = transcripts.read_text(encoding="utf-8").splitlines()
    broken = [f"line {number}" for number, line in enumerate(lines, start=1) if line.count("\t") != 1]
    if broken:
        raise CorpusError(f"{transcripts}: expected an id, a tab and a text, not so {listed(broken)}; {ADVICE}.")
    return [line.split("\t")[0] for line in lines]


def check_whole(source: Source, check_counts: bool) -> None:
    """Compare transcripts, audio files, speakers and published counts of a language.

    Raises:
      CorpusError: at the first split that is not whole, with names and counts.
    """
    parts = [f"{split}/{part}" for split in SPLITS for part in ("audio", "transcripts.txt")]
    require_paths(source.folder, ["metainfo.txt", *parts], ADVICE)
    lines = (source.folder / "metainfo.txt").read_text(encoding="utf-8").splitlines()
    speakers: Set[str] = {line.split("|")[0].strip() for line in lines}
    for split, published in zip(SPLITS, UTTERANCES[source.language]):
        where = f"{source.folder / split}"
        ids = read_ids(source.folder / split / "transcripts.txt")
        audio = {path.stem for path in (source.folder / split / "audio").rglob(f"*{source.suffix}")}
        require_pairs(where, set(ids), audio, ADVICE)
        unknown = {name.split("_")[0] for name in ids} - speakers
        if unknown:
            raise CorpusError(
                f"{where}: {len(unknown)} speakers are not in metainfo.txt ({listed(unknown)}); {ADVICE}."
            )
        if check_counts:
            require_count(where, len(ids), published, f"{ADVICE}, or go on with --check-counts false")


def lhotse_manifests(source: Source, data_dir: Path, num_jobs: int) -> Path:
    """Folder of lhotse's own manifests of a language; those of a language that is done are made once.

    lhotse reads every language that it finds in a folder, so it is given one that holds a link to this language alone.
    """
    done = data_dir / "manifests" / "lhotse" / source.language
    if done.is_dir():
        return done
    view = data_dir / "corpus" / source.language
    shutil.rmtree(view, ignore_errors=True)
    view.mkdir(parents=True)
    (view / f"mls_{source.language}").symlink_to(source.folder.resolve(), target_is_directory=True)
    partial = done.with_name(f"{source.language}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    prepare_mls(view, partial, opus=source.suffix == ".opus", num_jobs=num_jobs)
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
