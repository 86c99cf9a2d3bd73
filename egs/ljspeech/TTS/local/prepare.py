#!/usr/bin/env python3
"""Stage 1: LJ Speech as published -> ljspeech_cuts_{train,dev,test}.jsonl.gz, as lhotse's own reader makes them.

Texts are the normalised ones, with numbers spelled out. The last utterances of metadata.csv are test, those before dev,
as icefall divides the corpus.
"""

import dataclasses
from pathlib import Path
from typing import Dict, List

from lhotse import MonoCut, SupervisionSegment
from lhotse.recipes import prepare_ljspeech
from lhotse.utils import fastcopy

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.data.manifests import CorpusError, require_count, require_paths, utterance_cuts, write_split

UTTERANCES = 13100
SPEAKER = "ljspeech"
ADVICE = "unpack LJSpeech-1.1.tar.bz2 there, or give the folder that holds LJSpeech-1.1/ with --dl-dir"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where everything lies, and how it is divided."""

    corpus_dir: str = setting("download/LJSpeech-1.1", "folder of the corpus, which holds metadata.csv and wavs/")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    dev_utterances: int = setting(100, "utterances of dev, those before test", minimum=1)
    test_utterances: int = setting(500, "utterances of test, the last ones", minimum=1)
    check_counts: bool = setting(True, "refuse a corpus with another number of utterances than published")

    def __post_init__(self) -> None:
        check_settings(self)


def _said(segment: SupervisionSegment) -> SupervisionSegment:
    text = str((segment.custom or {})["normalized_text"])
    return fastcopy(segment, text=text, speaker=SPEAKER, language="en", custom={"written": segment.text})


def divided(cuts: List[MonoCut], config: PrepareConfig) -> Dict[str, List[MonoCut]]:
    """The cuts of each split. Raises CorpusError if none are left to train on."""
    test = len(cuts) - config.test_utterances
    dev = test - config.dev_utterances
    if dev < 1:
        raise CorpusError(
            f"{len(cuts)} utterances, of which {config.dev_utterances} are to be dev and {config.test_utterances} "
            "test, leave none to train on; give fewer with --dev-utterances and --test-utterances."
        )
    return {"train": cuts[:dev], "dev": cuts[dev:test], "test": cuts[test:]}


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage. Raises CorpusError if the corpus is not whole."""
    corpus_dir = Path(config.corpus_dir)
    require_paths(corpus_dir, ("metadata.csv", "wavs"), ADVICE)
    found = prepare_ljspeech(corpus_dir)
    if config.check_counts:
        advice = "unpack the corpus again; --check-counts false goes on all the same"
        require_count(str(corpus_dir), len(found["recordings"]), UTTERANCES, advice)
    cuts = sorted(utterance_cuts(found["recordings"], map(_said, found["supervisions"])), key=lambda cut: cut.id)
    folder = Path(config.data_dir) / "manifests"
    for split, its_cuts in divided(cuts, config).items():
        write_split(folder, "ljspeech", split, iter(its_cuts))


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
