#!/usr/bin/env python3
"""Stage 1: one language of Common Voice -> validated lhotse cuts, `commonvoice_cuts_{train,dev,test}.jsonl.gz`.

The lists and clips are compared first: a list without its clips, or a clip in two of the lists, ends the stage with
names and counts. Then lhotse's own reader makes recordings and supervisions.
"""

import collections
import csv
import dataclasses
import itertools
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set

from commonvoice_text import RULES, normalize
from lhotse import MonoCut, SupervisionSegment
from lhotse.recipes import prepare_commonvoice
from lhotse.utils import fastcopy

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.manifests import (
    CorpusError,
    listed,
    require_pairs,
    require_paths,
    utterance_cuts,
    write_split,
)

SPLITS = ("train", "dev", "test")
# Read by lhotse; releases before 8.0 call accents and variant otherwise.
COLUMNS = ("client_id", "path", "sentence", "age", "gender", "accents", "variant")
ADVICE = "unpack the archive of the release again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which utterances are kept, and where everything lies."""

    corpus_dir: str = setting("download", "folder of the release, with a folder for each language")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    lang: str = setting("cy", "code of the language, the name of its folder")
    text_rule: str = setting("words", "words: lower case without punctuation; written: as DASB keeps it", RULES)
    sample_rate: int = setting(16000, "rate (Hz) that clips, of 32 or 48 kHz, are resampled to as they are read")
    min_duration: float = setting(0.3, "shortest utterance (s)")
    max_duration: float = setting(20.0, "longest utterance of training (s); dev and test keep all")
    nj: int = setting(2, "processes that read headers of audio")


def read_list(path: Path) -> List[str]:
    """Names of the clips of a list (.tsv).

    Raises:
      CorpusError: if it is empty, lacks a column, names a clip twice, or a line has no fields.
    """
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    missing = [column for column in COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise CorpusError(f"{path} lacks {listed(missing)}; it is empty, or of a release before 8.0: use a newer one.")
    names = [row["path"] for row in rows]
    short = [f"line {number}" for number, row in enumerate(rows, start=2) if not row["path"] or row["sentence"] is None]
    if short:
        raise CorpusError(f"{path}: {listed(short)} cut short; {ADVICE}.")
    twice = {name for name, count in collections.Counter(names).items() if count > 1}
    if twice:
        raise CorpusError(f"{path} names {len(twice)} clips twice ({listed(twice)}); {ADVICE}.")
    return names


def check_whole(folder: Path) -> None:
    """Compare the lists of the splits with the clips, and with one another.

    Raises:
      CorpusError: for a missing list, clips that are listed but absent, or a clip in two splits.
    """
    require_paths(folder, [*(f"{split}.tsv" for split in SPLITS), "clips"], ADVICE)
    clips: Set[str] = {path.name for path in (folder / "clips").iterdir()}
    names: Dict[str, Set[str]] = {split: set(read_list(folder / f"{split}.tsv")) for split in SPLITS}
    for split in SPLITS:
        # clips/ also holds those that other lists name (validated, invalidated, other)
        require_pairs(f"{folder}, {split}.tsv", names[split], names[split] & clips, ADVICE)
    for one, other in itertools.combinations(SPLITS, 2):
        if names[one] & names[other]:
            shared = names[one] & names[other]
            raise CorpusError(f"{folder}: {len(shared)} clips are in {one} and {other} ({listed(shared)}); {ADVICE}.")


def spoken(supervisions: Iterator[SupervisionSegment], rule: str) -> Iterator[SupervisionSegment]:
    """The supervisions with their text by `rule` and the sentence as it was written beside it."""
    for item in supervisions:
        yield fastcopy(item, text=normalize(item.text, rule), custom={**(item.custom or {}), "written": item.text})


def drop_reason(cut: MonoCut, config: PrepareConfig, is_train: bool) -> Optional[str]:
    """Why an utterance is left out, or None."""
    if not cut.supervisions[0].text:
        return "under three words" if config.text_rule == "written" else "no words"
    if cut.duration < config.min_duration:
        return f"shorter than {config.min_duration:g} s"
    if is_train and cut.duration > config.max_duration:
        return f"longer than {config.max_duration:g} s"
    return None


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole.
    """
    check_whole(Path(config.corpus_dir) / config.lang)
    folder = Path(config.data_dir) / "manifests"
    made = prepare_commonvoice(config.corpus_dir, folder / "lhotse", config.lang, SPLITS, config.nj)[config.lang]
    for split in SPLITS:
        supervisions = spoken(made[split]["supervisions"], config.text_rule)
        recordings = (recording.resample(config.sample_rate) for recording in made[split]["recordings"])
        cuts = utterance_cuts(recordings, supervisions)
        is_train = split == "train"
        write_split(folder, "commonvoice", split, cuts, lambda cut, t=is_train: drop_reason(cut, config, t))


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
