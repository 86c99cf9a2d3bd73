#!/usr/bin/env python3
"""Stage 1: Libri2Mix -> lhotse cuts of two speakers at once, `libri2mix_cuts_{train,dev,test}.jsonl.gz`, and of each of
them by the same ids, `..._<split>-source1.jsonl.gz` and `..._<split>-source2.jsonl.gz`.

The corpus is what LibriMix's scripts make; an id is that of two utterances of LibriSpeech, whose transcripts are read
where --librispeech-dir says.
"""

import csv
import dataclasses
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, Tuple

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.manifests import CorpusError, require_paths
from icefall_discrete.data.mixture_corpora import Mixture, Source, write_mixtures

SPLITS = {"dev": "dev", "test": "test"}
SOURCES = ("source1", "source2")
COLUMNS = ("mixture_ID", "mixture_path", "source_1_path", "source_2_path")
ADVICE = "make the corpus again with https://github.com/JorisCos/LibriMix"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which of the corpus's versions is used, and where everything lies."""

    corpus_dir: str = setting("download/Libri2Mix/wav16k/min", "folder of one rate and mode, with metadata/")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    train_set: str = setting("train-100", "training set", choices=("train-100", "train-360"))
    mixture: str = setting("mix_clean", "without noise, or with that of WHAM!", choices=("mix_clean", "mix_both"))
    librispeech_dir: str = setting("", "folder of LibriSpeech, for transcripts; empty: there are none")
    nj: int = setting(2, "processes that read headers of audio")


def read_texts(folder: Path) -> Dict[str, str]:
    """Transcripts of LibriSpeech by utterance, in lower case. Raises CorpusError if there is none."""
    found = {}
    for path in sorted(folder.rglob("*.trans.txt")):
        for _, line in numbered_lines(path):
            utterance, _, text = line.partition(" ")
            found[utterance] = text.strip().lower()
    if not found:
        raise CorpusError(f"{folder} holds no *.trans.txt; give the folder of LibriSpeech with --librispeech-dir.")
    return found


def _rows(path: Path) -> Iterator[Tuple[str, Dict[str, str]]]:
    with open(path, encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise CorpusError(f"{path} has no column {missing[0]}: two sources of each mixture are expected; {ADVICE}.")
        for row in reader:
            yield f"{path}, line {reader.line_num}", row


def _local(corpus_dir: Path, value: str, where: str) -> Path:
    """Where a file lies that the list calls by its path on another machine: its last three parts are kept."""
    parts = PurePosixPath(value.replace("\\", "/")).parts[-3:]
    return path_inside(corpus_dir, "/".join(parts), f"{where}: a path")


def read_set(corpus_dir: Path, name: str, kind: str, texts: Dict[str, str]) -> Dict[str, Mixture]:
    """Mixtures of a set by id. Raises CorpusError for a line that is not of the corpus, and for one speaker alone."""
    found = {}
    for where, row in _rows(corpus_dir / "metadata" / f"mixture_{name}_{kind}.csv"):
        utterances = (row["mixture_ID"] or "").split("_")
        sources = {}
        for source, column, utterance in zip(SOURCES, COLUMNS[2:], utterances):
            if row[column]:
                audio = _local(corpus_dir, row[column], where)
                sources[source] = Source(audio, texts.get(utterance), utterance.partition("-")[0])
        one = Mixture(_local(corpus_dir, row["mixture_path"] or "", where), sources, "en")
        one.require_sources(SOURCES, f"{where}: mixture {row['mixture_ID']}", ADVICE)
        found[row["mixture_ID"]] = one
    return found


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage. Raises CorpusError if the corpus is not whole."""
    corpus_dir = Path(config.corpus_dir)
    sets = {"train": config.train_set, **SPLITS}
    require_paths(corpus_dir, [f"metadata/mixture_{name}_{config.mixture}.csv" for name in sets.values()], ADVICE)
    texts = read_texts(Path(config.librispeech_dir)) if config.librispeech_dir else {}
    splits = {split: read_set(corpus_dir, name, config.mixture, texts) for split, name in sets.items()}
    write_mixtures(Path(config.data_dir) / "manifests", "libri2mix", splits, config.nj, ADVICE)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
