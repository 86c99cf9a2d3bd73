#!/usr/bin/env python3
"""Stage 1: one language of Common Voice -> validated lhotse cuts, `commonvoice_cuts_{train,dev,test}.jsonl.gz`.

The lists and clips are compared first: a list without its clips, or a clip in two of the lists, ends the stage with
names and counts. Clips that cannot be read are left out, by name. Supervisions are those of lhotse's own reader.
"""

import collections
import dataclasses
import itertools
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Set

from commonvoice_text import RULES, normalize
from lhotse import MonoCut
from lhotse.utils import fastcopy

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.corpus_files import read_headers, whole_supervision
from icefall_discrete.data.manifests import (
    CorpusError,
    listed,
    require_pairs,
    require_paths,
    utterance_cuts,
    write_split,
)
from icefall_discrete.text.spoken_words import has_digits

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


Row = Dict[str, str]


def _fields(line: str, header: List[str], language: str) -> Optional[List[str]]:
    """The fields of a line, of which the sentence alone may hold tabs; None if they cannot be told apart."""
    fields = line.split("\t")
    surplus = len(fields) - len(header)
    if surplus > 0:
        at = header.index("sentence")
        fields[at : at + surplus + 1] = [" ".join(fields[at : at + surplus + 1])]
        if "locale" in header and fields[header.index("locale")] != language:
            return None
    return fields if surplus >= 0 else None


def read_list(path: Path) -> List[Row]:
    """The rows of a list (.tsv), whose quotes are part of the sentences; a tab in a sentence becomes a space.

    Raises:
      CorpusError: if it is empty, lacks a column, names a clip twice, or a line has too few or too many fields.
    """
    lines = numbered_lines(path)
    header = next(lines, (1, ""))[1].split("\t")
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise CorpusError(f"{path} lacks {listed(missing)}; it is empty, or of a release before 8.0: use a newer one.")
    rows, broken = [], []
    for number, line in lines:
        row = dict(zip(header, _fields(line, header, path.parent.name) or []))
        rows.append(row)
        if not row.get("path"):
            broken.append(f"line {number}")
    if broken:
        raise CorpusError(
            f"{path}: {listed(broken)} cut short, or with tabs in other fields than the sentence; {ADVICE}."
        )
    if not rows:
        raise CorpusError(f"{path} lists no clip; it is empty: {ADVICE}.")
    twice = {name for name, count in collections.Counter(Path(row["path"]).stem for row in rows).items() if count > 1}
    if twice:
        raise CorpusError(f"{path} names {len(twice)} clips twice ({listed(twice)}); {ADVICE}.")
    return rows


def check_whole(folder: Path) -> Dict[str, List[Row]]:
    """The rows of each split, after comparing the lists with the clips, and with one another.

    Raises:
      CorpusError: for a missing list, clips that are listed but absent, or a clip in two splits.
    """
    require_paths(folder, [*(f"{split}.tsv" for split in SPLITS), "clips"], ADVICE)
    clips: Set[str] = {path.name for path in (folder / "clips").iterdir()}
    rows = {split: read_list(folder / f"{split}.tsv") for split in SPLITS}
    names: Dict[str, Set[str]] = {split: {row["path"] for row in rows[split]} for split in SPLITS}
    for split in SPLITS:
        # clips/ also holds those that other lists name (validated, invalidated, other)
        require_pairs(f"{folder}, {split}.tsv", names[split], names[split] & clips, ADVICE)
    for one, other in itertools.combinations(SPLITS, 2):
        if names[one] & names[other]:
            shared = names[one] & names[other]
            raise CorpusError(f"{folder}: {len(shared)} clips are in {one} and {other} ({listed(shared)}); {ADVICE}.")
    return rows


def cuts_of(rows: Mapping[str, Row], clips: Path, config: PrepareConfig) -> Iterator[MonoCut]:
    """One cut for each utterance whose clip can be read, with text by the rule, and as it was written."""
    headers = read_headers({name: clips / row["path"] for name, row in rows.items()}, config.nj)
    supervisions = []
    for name, recording in headers.recordings.items():
        row, written = rows[name], rows[name]["sentence"].strip()
        text = normalize(written, config.text_rule, config.lang)
        item = whole_supervision(recording, text, config.lang, row["client_id"])
        custom = {key: row[key] for key in ("age", "accents", "variant")}
        supervisions.append(fastcopy(item, gender=row["gender"], custom={**custom, "written": written}))
    resampled = [recording.resample(config.sample_rate) for recording in headers.recordings.values()]
    yield from utterance_cuts(resampled, supervisions)


def drop_reason(cut: MonoCut, config: PrepareConfig, is_train: bool) -> Optional[str]:
    """Why an utterance is left out, or None."""
    if not cut.supervisions[0].text:
        if config.text_rule == "written":
            return "under three words"
        return "digits, whose words nobody wrote" if has_digits(cut.supervisions[0].custom["written"]) else "no words"
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
    corpus = Path(config.corpus_dir) / config.lang
    rows = check_whole(corpus)
    folder = Path(config.data_dir) / "manifests"
    for split in SPLITS:
        by_id = {Path(row["path"]).stem: row for row in rows[split]}
        cuts = cuts_of(by_id, corpus / "clips", config)
        is_train = split == "train"
        write_split(folder, "commonvoice", split, cuts, lambda cut, t=is_train: drop_reason(cut, config, t))


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
