#!/usr/bin/env python3
"""Stage 1: LibriSpeech as published -> librispeech_cuts_<split>.jsonl.gz, by lhotse's own reader.

First every part is looked over: folders, transcripts against audio files, published counts. Texts stay in upper case.
"""

import dataclasses
from pathlib import Path
from typing import Iterator, List, Set, Tuple

from lhotse import MonoCut
from lhotse.recipes.librispeech import prepare_librispeech
from librispeech_parts import PARTS
from tqdm import tqdm

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.manifests import require_count, require_pairs, require_paths, utterance_cuts, write_split

ADVICE = "run stage 0, or give the folder that holds LibriSpeech/ with --dl-dir"
REFETCH = "delete that part and run stage 0 again"


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
    nj: int = setting(2, "threads that read the audio files' headers")


def transcribed_ids(folder: Path) -> Set[str]:
    """Ids of the utterances that the part's *.trans.txt files list."""
    lines = (line for path in folder.rglob("*.trans.txt") for line in path.read_text(encoding="utf-8").splitlines())
    return {line.split(maxsplit=1)[0] for line in lines if line.strip()}


def check_corpus(config: PrepareConfig) -> None:
    """Look every part over before anything long starts.

    Raises:
      CorpusError: for parts that are missing, incomplete, or not those that were published.
    """
    parts: List[str] = [*config.train_parts, *config.eval_parts]
    require_paths(config.corpus_dir, parts, ADVICE)
    for part in tqdm(parts, desc="look over the corpus", unit="part"):
        folder = Path(config.corpus_dir) / part
        transcribed = transcribed_ids(folder)
        require_pairs(part, transcribed, {path.stem for path in folder.rglob("*.flac")}, REFETCH)
        if config.check_counts:
            advice = f"{REFETCH}, or go on all the same with --check-counts false"
            require_count(part, len(transcribed), PARTS[part].num_utterances, advice)


def part_cuts(part: str, config: PrepareConfig) -> Iterator[MonoCut]:
    """The cuts of one part."""
    manifests = prepare_librispeech(config.corpus_dir, dataset_parts=[part], num_jobs=config.nj)[part]
    yield from utterance_cuts(manifests["recordings"], manifests["supervisions"])


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
