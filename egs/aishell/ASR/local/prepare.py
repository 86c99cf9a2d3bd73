#!/usr/bin/env python3
"""Stage 1: AISHELL-1 as published -> aishell_cuts_{train,dev,test}.jsonl.gz, as lhotse's own reader makes them.

First the corpus is looked over. It holds some hundred recordings without a transcript, which are left out; a transcript
without its recording is an error. The spaces are taken out of the texts, and Latin letters written in upper case.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Dict, Iterator

from lhotse import MonoCut
from lhotse.recipes.aishell import text_normalize

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.corpus_files import files_by_id, read_headers, transcripts_in, whole_supervision
from icefall_discrete.data.manifests import (
    listed,
    require_count,
    require_pairs,
    require_paths,
    utterance_cuts,
    write_split,
)

TRANSCRIPT = "data_aishell/transcript/aishell_transcript_v0.8.txt"
PUBLISHED_UTTERANCES = {"train": 120098, "dev": 14326, "test": 7176}
ADVICE = "run stage 0, or give the folder that holds aishell/ with --dl-dir"
REFETCH = "move aishell/data_aishell aside and run stage 0 again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where the corpus and the manifests lie."""

    corpus_dir: str = setting("download/aishell", "folder that holds data_aishell/")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    check_counts: bool = setting(True, "refuse a corpus with another number of utterances than published")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Text by utterance id, and by split the audio file of each utterance that has a text."""

    texts: Dict[str, str]
    files: Dict[str, Dict[str, Path]]


def check_corpus(config: PrepareConfig) -> Corpus:
    """Look the corpus over before anything long starts.

    Raises:
      CorpusError: for splits that are missing, incomplete, not disjoint, or not those that were published.
    """
    corpus_dir = Path(config.corpus_dir)
    folders = {split: f"data_aishell/wav/{split}" for split in PUBLISHED_UTTERANCES}
    require_paths(corpus_dir, [TRANSCRIPT, *folders.values()], ADVICE)
    texts = transcripts_in([corpus_dir / TRANSCRIPT])
    everything = files_by_id((corpus_dir / "data_aishell" / "wav").rglob("*.wav"), "AISHELL-1")
    require_pairs("AISHELL-1", set(texts), set(everything) & set(texts), REFETCH)
    unwritten = set(everything) - set(texts)
    if unwritten:
        logging.info(f"{len(unwritten)} recordings have no transcript and are left out: {listed(unwritten)}")
    files: Dict[str, Dict[str, Path]] = {}
    for split, folder in folders.items():
        ids = {path.stem for path in (corpus_dir / folder).rglob("*.wav")} & set(texts)
        require_pairs(split, ids, ids, REFETCH)
        if config.check_counts:
            advice = f"{REFETCH}, or go on all the same with --check-counts false"
            require_count(split, len(ids), PUBLISHED_UTTERANCES[split], advice)
        files[split] = {name: everything[name] for name in sorted(ids)}
    return Corpus(texts, files)


def cuts_of(files: Dict[str, Path], texts: Dict[str, str]) -> Iterator[MonoCut]:
    """One cut for each utterance whose audio can be read; its speaker is the name of the folder."""
    recordings = read_headers(files, 1).recordings
    supervisions = []
    for name, recording in recordings.items():
        text = text_normalize(" ".join(texts[name].split())).strip().replace(" ", "")
        supervisions.append(whole_supervision(recording, text, "Chinese", speaker=files[name].parent.name))
    yield from utterance_cuts(recordings.values(), supervisions)


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole.
    """
    corpus = check_corpus(config)
    for split, files in corpus.files.items():
        write_split(Path(config.data_dir) / "manifests", "aishell", split, cuts_of(files, corpus.texts))


def main() -> None:
    """Prepare the manifests."""
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
