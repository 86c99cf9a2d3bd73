#!/usr/bin/env python3
"""Stage 1: Google Speech Commands v2 -> validated lhotse cuts, `speech_commands_cuts_{train,dev,test}.jsonl.gz`.

<word>/<speaker>_nohash_<number>.wav; validation_list.txt and testing_list.txt name those of dev and test, and all other
ones are for training. The word is the fact `keyword`.
"""

import collections
import dataclasses
import logging
from pathlib import Path
from typing import Dict, Iterable, List

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.class_corpora import Listed, write_classes
from icefall_discrete.data.manifests import CorpusError, require_count, require_paths

LOG = logging.getLogger("prepare")
LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}
UTTERANCES = {"train": 84843, "dev": 9981, "test": 11005}  # of release 0.02, as its lists divide it
ADVICE = "unpack speech_commands_v0.02.tar.gz again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where everything lies."""

    corpus_dir: str = setting("download/speech_commands_v0.02", "folder of the corpus, a folder a word in it")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    check_counts: bool = setting(True, "refuse splits whose numbers of utterances are not those of release 0.02")
    nj: int = setting(2, "processes that read headers of audio")


def read_list(corpus_dir: Path, name: str) -> List[str]:
    """Audio files that a list names, as paths below the corpus. Raises CorpusError for a line that names none."""
    paths = []
    for number, line in numbered_lines(corpus_dir / name):
        where = f"{corpus_dir / name}, line {number}"
        word, _, file = line.strip().partition("/")
        if not word or not file.endswith(".wav"):
            raise CorpusError(f"{where}: expected <word>/<file>.wav, got {line[:60]!r}; {ADVICE}.")
        path_inside(corpus_dir, line.strip(), where)
        paths.append(line.strip())
    return paths


def audio_files(corpus_dir: Path) -> List[str]:
    """All utterances, as paths below the corpus; what lies in folders that are no words is counted."""
    found = sorted(path.relative_to(corpus_dir) for path in corpus_dir.glob("*/*.wav"))
    other = collections.Counter(path.parts[0] for path in found if path.parts[0].startswith("_"))
    for folder, number in other.items():
        LOG.info(f"left out, no words: {number} files of {folder}")
    return [str(path) for path in found if path.parts[0] not in other]


def listed(corpus_dir: Path, paths: Iterable[str]) -> Dict[str, Listed]:
    """Utterances by id, `<word>_<speaker>_nohash_<number>`."""
    utterances = {}
    for path in paths:
        word, stem = path.split("/")[0], Path(path).stem
        speaker = stem.partition("_nohash_")[0]
        utterances[f"{word}_{stem}"] = Listed(corpus_dir / path, {"keyword": word}, word, "en", speaker)
    return utterances


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole.
    """
    corpus_dir = Path(config.corpus_dir)
    require_paths(corpus_dir, tuple(LISTS.values()), ADVICE)
    paths = {split: read_list(corpus_dir, name) for split, name in LISTS.items()}
    elsewhere = {path for of_split in paths.values() for path in of_split}
    paths = {"train": [path for path in audio_files(corpus_dir) if path not in elsewhere], **paths}
    if config.check_counts:
        for split, published in UTTERANCES.items():
            advice = "is it release 0.02, and whole? --check-counts false goes on all the same"
            require_count(split, len(paths[split]), published, advice)
    splits = {split: listed(corpus_dir, of_split) for split, of_split in paths.items()}
    write_classes(Path(config.data_dir) / "manifests", "speech_commands", "keyword", splits, config.nj, ADVICE)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
