#!/usr/bin/env python3
"""Stage 1: AISHELL-1 as published -> aishell_cuts_{train,dev,test}.jsonl.gz, by lhotse's own reader.

First the corpus is looked over. It holds some hundred recordings without a transcript, which are left out; a transcript
without its recording is an error. lhotse takes the spaces out of the texts and writes Latin letters in upper case.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Dict, Set

from lhotse.recipes.aishell import prepare_aishell

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
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
REFETCH = "delete aishell/data_aishell and run stage 0 again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where the corpus and the manifests lie."""

    corpus_dir: str = setting("download/aishell", "folder that holds data_aishell/")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    check_counts: bool = setting(True, "refuse a corpus with another number of utterances than published")


def recorded_ids(folder: Path) -> Set[str]:
    """Ids of the recordings below a folder."""
    return {path.stem for path in folder.rglob("*.wav")}


def check_corpus(config: PrepareConfig) -> None:
    """Look the corpus over before anything long starts.

    Raises:
      CorpusError: for splits that are missing, incomplete, or not those that were published.
    """
    corpus_dir = Path(config.corpus_dir)
    folders = {split: f"data_aishell/wav/{split}" for split in PUBLISHED_UTTERANCES}
    require_paths(corpus_dir, [TRANSCRIPT, *folders.values()], ADVICE)
    lines = (corpus_dir / TRANSCRIPT).read_text(encoding="utf-8").splitlines()
    transcribed = {line.split(maxsplit=1)[0] for line in lines if line.strip()}
    recorded: Dict[str, Set[str]] = {split: recorded_ids(corpus_dir / folder) for split, folder in folders.items()}
    everything = set().union(*recorded.values())
    require_pairs("AISHELL-1", transcribed, everything & transcribed, REFETCH)
    unwritten = everything - transcribed
    if unwritten:
        logging.info(f"{len(unwritten)} recordings have no transcript and are left out: {listed(unwritten)}")
    for split, ids in recorded.items():
        require_pairs(split, ids & transcribed, ids & transcribed, REFETCH)
        if config.check_counts:
            advice = f"{REFETCH}, or go on all the same with --check-counts false"
            require_count(split, len(ids & transcribed), PUBLISHED_UTTERANCES[split], advice)


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage."""
    check_corpus(config)
    for split, manifests in prepare_aishell(config.corpus_dir).items():
        cuts = utterance_cuts(manifests["recordings"], manifests["supervisions"])
        write_split(Path(config.data_dir) / "manifests", "aishell", split, cuts)


def main() -> None:
    """Prepare the manifests."""
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
