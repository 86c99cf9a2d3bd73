#!/usr/bin/env python3
"""Stage 1, behind the manifests of clean speech: noisy versions of it, `asterisk_cuts_{train,dev,test}.jsonl.gz`, and
the clean ones by the same ids, `asterisk_cuts_<split>-clean.jsonl.gz`.
"""

import dataclasses
from pathlib import Path

from icefall_discrete.audio.noise import MAX_SOURCES, NoiseConfig, NoiseSource, sample_cuts
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import manifest_path
from icefall_discrete.data.mixture_corpora import write_pairs
from icefall_discrete.data.small_corpora import SPLITS
from icefall_discrete.extraction.noisy_pairs import noisy_pairs

CORPUS = "asterisk"


@dataclasses.dataclass(frozen=True)
class PrepareConfig(NoiseConfig):
    """Which noise, how often, and where everything lies."""

    clean_dir: str = setting("data/clean", "folder of the clean speech, with manifests/")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/, noisy audio to its noisy_audio/")
    copies: int = setting(1, "noisy versions of each training utterance; dev and test have one", minimum=1)
    nj: int = setting(2, "threads that mix", minimum=1)


def prepare(config: PrepareConfig) -> None:
    """Make the noisy speech of each split, with babble of the training speech, and write all manifests."""
    clean = {split: manifest_path(Path(config.clean_dir) / "manifests", CORPUS, split) for split in SPLITS}
    source = NoiseSource(config, sample_cuts(load_cuts(clean["train"], lazy=True), MAX_SOURCES, config.seed))
    data_dir = Path(config.data_dir)
    for split in SPLITS:
        copies = config.copies if split == "train" else 1
        pairs = noisy_pairs(clean[split], source, copies, data_dir / "noisy_audio", config.nj)
        write_pairs(data_dir / "manifests", CORPUS, split, pairs)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
