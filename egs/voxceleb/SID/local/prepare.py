#!/usr/bin/env python3
"""Stage 1: VoxCeleb1, split for identification -> lhotse cuts, `voxceleb_cuts_{train,dev,test}.jsonl.gz`.

iden_split.txt holds a line `<1, 2 or 3> <speaker>/<video>/<number>.wav` an utterance: train, dev or test, the same
speakers in all three, no video in two. Audio lies in wav/. What is learnt is the speaker; there are no transcripts.
"""

import dataclasses
import re
from pathlib import Path
from typing import Dict

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.class_corpora import Listed, write_classes
from icefall_discrete.data.manifests import CorpusError, require_count, require_paths

SPLITS = {"1": "train", "2": "dev", "3": "test"}
UTTERANCES = {"train": 138361, "dev": 6904, "test": 8251}  # of iden_split.txt; 1251 speakers
LIST, ABOUT_SPEAKERS = "iden_split.txt", "vox1_meta.csv"
ADVICE = "unpack vox1_dev_wav.zip and vox1_test_wav.zip into it again"
_LINE = re.compile(r"(?P<split>[123]) (?P<speaker>id\d{5})/(?P<video>[\w-]+)/(?P<number>\d+)\.wav")


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where everything lies."""

    corpus_dir: str = setting("download/voxceleb1", "folder of the corpus, which holds wav/ and iden_split.txt")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    check_counts: bool = setting(True, "refuse a list whose numbers of utterances are not the published ones")
    nj: int = setting(2, "processes that read headers of audio")


def read_genders(path: Path) -> Dict[str, str]:
    """Gender by speaker, from the table of all speakers, whose first line names its columns; empty if it is not there.

    Raises:
      CorpusError: if it has no columns of that kind.
    """
    if not path.is_file():
        return {}
    rows = [line.split("\t") for _, line in numbered_lines(path)]
    if not rows or "Gender" not in rows[0] or min(map(len, rows)) < len(rows[0]):
        raise CorpusError(f"{path}: expected columns between tabs, Gender among them; fetch it again, or move it away.")
    column = rows[0].index("Gender")
    return {row[0]: row[column] for row in rows[1:]}


def read_split(corpus_dir: Path) -> Dict[str, Dict[str, Listed]]:
    """Utterances by id, `<speaker>-<video>-<number>`, by split.

    Raises:
      CorpusError: for a line of the list that names no utterance and split.
    """
    genders = read_genders(corpus_dir / ABOUT_SPEAKERS)
    splits: Dict[str, Dict[str, Listed]] = {split: {} for split in SPLITS.values()}
    for number, line in numbered_lines(corpus_dir / LIST):
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise CorpusError(
                f"{corpus_dir / LIST}, line {number}: expected '<1, 2 or 3> <speaker>/<video>/<number>.wav', got "
                f"{line[:60]!r}; fetch the list again."
            )
        _, speaker, video, name = found.groups()
        audio = corpus_dir / "wav" / speaker / video / f"{name}.wav"
        one = Listed(audio, {"video": video}, speaker=speaker, gender=genders.get(speaker))
        splits[SPLITS[found["split"]]][f"{speaker}-{video}-{name}"] = one
    return splits


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole.
    """
    corpus_dir = Path(config.corpus_dir)
    require_paths(corpus_dir, (LIST, "wav"), ADVICE)
    splits = read_split(corpus_dir)
    if config.check_counts:
        for split, published in UTTERANCES.items():
            advice = "fetch the list again; --check-counts false goes on all the same"
            require_count(f"{split} of {corpus_dir / LIST}", len(splits[split]), published, advice)
    write_classes(Path(config.data_dir) / "manifests", "voxceleb", "speaker", splits, config.nj, ADVICE)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
