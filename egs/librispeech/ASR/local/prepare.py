#!/usr/bin/env python3
"""Stage 1: LibriSpeech as published -> librispeech_cuts_<split>.jsonl.gz, as lhotse's own reader makes them.

First every part is looked over: folders, transcripts against audio files, published counts. Texts stay in upper case.
"""

import dataclasses
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from lhotse import MonoCut
from librispeech_parts import PARTS
from tqdm import tqdm

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.corpus_files import files_by_id, read_headers, transcripts_in, whole_supervision
from icefall_discrete.data.manifests import require_count, require_pairs, require_paths, utterance_cuts, write_split

ADVICE = "run stage 0, or give the folder that holds LibriSpeech/ with --dl-dir"
REFETCH = "move that part aside and run stage 0 again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which parts become which splits."""

    corpus_dir: str = setting("download/LibriSpeech", "folder of the parts")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    train_split: str = setting("train-clean-100", "name of the training split")
    train_parts: Tuple[str, ...] = setting(("train-clean-100",), "parts that it consists of")
    eval_parts: Tuple[str, ...] = setting(
        ("dev-clean", "dev-other", "test-clean", "test-other"), "parts that are splits of their own"
    )
    check_counts: bool = setting(True, "refuse a part with another number of utterances than published")
    nj: int = setting(2, "processes that read the audio files' headers")


def transcripts_of(folder: Path) -> Dict[str, str]:
    """Text by utterance id, from the part's *.trans.txt files."""
    return transcripts_in(sorted(folder.rglob("*.trans.txt")))


def check_corpus(config: PrepareConfig) -> None:
    """Look every part over before anything long starts.

    Raises:
      CorpusError: for parts that are missing, incomplete, or not those that were published.
    """
    parts: List[str] = [*config.train_parts, *config.eval_parts]
    require_paths(config.corpus_dir, parts, ADVICE)
    for part in tqdm(parts, desc="look over the corpus", unit="part"):
        folder = Path(config.corpus_dir) / part
        transcribed = set(transcripts_of(folder))
        require_pairs(part, transcribed, set(files_by_id(folder.rglob("*.flac"), part)), REFETCH)
        if config.check_counts:
            advice = f"{REFETCH}, or go on all the same with --check-counts false"
            require_count(part, len(transcribed), PARTS[part].num_utterances, advice)


def part_cuts(part: str, config: PrepareConfig) -> Iterator[MonoCut]:
    """The cuts of one part, but for audio that cannot be read; the first number of an id is the speaker."""
    folder = Path(config.corpus_dir) / part
    texts = transcripts_of(folder)
    recordings = read_headers(files_by_id(folder.rglob("*.flac"), part), config.nj).recordings
    supervisions = [
        whole_supervision(recording, texts[name].strip(), "English", speaker=name.partition("-")[0])
        for name, recording in recordings.items()
    ]
    yield from utterance_cuts(recordings.values(), supervisions)


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage; one part at a time is in memory."""
    check_corpus(config)
    folder = Path(config.data_dir) / "manifests"
    for part in config.eval_parts:
        write_split(folder, "librispeech", part, part_cuts(part, config))
    train_cuts = (cut for part in config.train_parts for cut in part_cuts(part, config))
    write_split(folder, "librispeech", config.train_split, train_cuts)


def main() -> None:
    """Prepare the manifests."""
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
