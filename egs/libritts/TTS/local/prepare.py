#!/usr/bin/env python3
"""Stage 1: LibriTTS, or LibriTTS-R, as published -> libritts_cuts_<split>.jsonl.gz, as lhotse's own reader makes them.

Texts are the normalised ones; the first number of an id is the speaker. No speaker is in two splits, so that those of
dev and test are nobody in particular to what is trained.
"""

import dataclasses
from pathlib import Path
from typing import Tuple

from lhotse.recipes import prepare_libritts
from lhotse.utils import fastcopy

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.manifests import require_paths, utterance_cuts, write_split

ADVICE = "unpack the archives of these parts there, or give the folder that holds LibriTTS/ with --dl-dir"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which parts become which splits."""

    corpus_dir: str = setting("download/LibriTTS", "folder of the parts")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    train_parts: Tuple[str, ...] = setting(("train-clean-100",), "parts that the training split, train, consists of")
    eval_parts: Tuple[str, ...] = setting(("dev-clean", "test-clean"), "parts that are splits of their own")
    nj: int = setting(2, "processes that read the audio files' headers")


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage; one part at a time is in memory. Raises CorpusError if a part is missing."""
    parts = {"train": config.train_parts, **{part: (part,) for part in config.eval_parts}}
    every = [part for several in parts.values() for part in several]
    require_paths(config.corpus_dir, every, ADVICE)
    folder = Path(config.data_dir) / "manifests"
    for split, several in parts.items():
        manifests = (prepare_libritts(config.corpus_dir, part, num_jobs=config.nj)[part] for part in several)
        cuts = (
            cut
            for found in manifests
            for cut in utterance_cuts(
                found["recordings"], (fastcopy(one, language="en") for one in found["supervisions"])
            )
        )
        write_split(folder, "libritts", split, cuts)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
