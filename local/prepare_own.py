#!/usr/bin/env python3
"""Stage 1 of a corpus of one's own: validated lhotse cuts of train, dev and test, and a report on what is in it.

Cuts refer to the audio where it lies. The report is report.md and suspicious.tsv in the data folder.

tools/new_corpus.sh makes recipes that call this; see icefall_discrete/data/README.md.
"""

import dataclasses
import logging
from pathlib import Path

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import MOST_PROCESSES, setting
from icefall_discrete.data.own_corpora.preparation import SourceConfig, read_corpus, write_corpus


@dataclasses.dataclass(frozen=True)
class PrepareConfig(SourceConfig):
    """The source, and where everything goes."""

    corpus: str = setting("own", "name of the manifests")
    title: str = setting("Own corpus", "heading of the report")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    audio_checked: int = setting(
        20000, "utterances that are decoded for the report; 0: none, and no copies are looked for", minimum=0
    )
    nj: int = setting(2, "processes that read audio", minimum=1, maximum=MOST_PROCESSES)


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage."""
    data_dir = Path(config.data_dir)
    contents = read_corpus(config, config.title, data_dir / "audio", config.nj, config.audio_checked).contents
    logging.info(f"{write_corpus(contents, config.corpus, data_dir, config.sample_rate)}: what is in the corpus")


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
