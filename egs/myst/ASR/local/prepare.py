#!/usr/bin/env python3
"""Stage 1: MyST, children's speech -> validated lhotse cuts, `myst_cuts_{train,dev,test}.jsonl.gz`.

Utterances are filtered by length and by the quality of their transcripts: data/{train,development,test}/<student>/
<session>/<utterance>.flac with a .trn beside it where the utterance was transcribed.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Dict, Iterator, Optional

from lhotse import MonoCut
from lhotse.utils import fastcopy
from myst_text import is_unclear, normalize, read_hypotheses, word_error_rate

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import NotUtf8, read_text
from icefall_discrete.data.corpus_files import files_by_id, read_headers, whole_supervision
from icefall_discrete.data.manifests import (
    listed,
    require_pairs,
    require_paths,
    utterance_cuts,
    write_split,
)

LOG = logging.getLogger("prepare")
FOLDERS = {"train": "train", "dev": "development", "test": "test"}
LIMITED = ("train", "dev")  # the splits whose long utterances are dropped
ADVICE = "copy or unpack the corpus again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which utterances are kept (the rules of arXiv 2309.07927), and where everything lies."""

    corpus_dir: str = setting("download/myst_child_conv_speech", "folder of the corpus, which holds data/")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    min_words: int = setting(3, "fewest words of an utterance, in every split")
    max_duration: float = setting(30.0, "longest utterance (s) of train and dev")
    max_wer: float = setting(50.0, "highest word error rate (%) of the hypotheses, in every split")
    hypotheses: str = setting(
        "", "texts of a recogniser, lines `id<tab>text`; without it nothing is dropped by max_wer"
    )
    nj: int = setting(2, "processes that read headers of audio")


def find_utterances(folder: Path) -> Dict[str, Path]:
    """Audio file of each transcribed utterance of a split, by id.

    Raises:
      CorpusError: if a transcript has no audio file, or an id occurs twice.
    """
    audio = sorted(folder.rglob("*.flac"))
    by_name = files_by_id(audio, str(folder))
    transcribed = set(files_by_id(folder.rglob("*.trn"), str(folder)))
    require_pairs(str(folder), transcribed, set(by_name) & transcribed, ADVICE)
    LOG.info(f"{folder}: {len(transcribed)} utterances with a transcript, {len(audio) - len(transcribed)} without")
    return {name: by_name[name] for name in sorted(transcribed)}


def cuts_of(files: Dict[str, Path], num_jobs: int) -> Iterator[MonoCut]:
    """One cut for each utterance, with what was written, the student and the session.

    Transcripts in another encoding than UTF-8 are left out, by name.
    """
    recordings = read_headers(files, num_jobs).recordings
    supervisions, unread = [], []
    for name, recording in recordings.items():
        path = files[name]
        try:
            written = read_text(path.with_suffix(".trn")).strip()
        except NotUtf8 as error:
            LOG.warning(f"left out: {error}")
            unread.append(name)
            continue
        item = whole_supervision(recording, normalize(written), "en", speaker=path.parent.parent.name)
        supervisions.append(fastcopy(item, custom={"written": written, "session": path.parent.name}))
    if unread:
        LOG.warning(f"{len(unread)} of {len(files)} transcripts are not in UTF-8 and left out: {listed(unread)}")
    yield from utterance_cuts(recordings.values(), supervisions)


def drop_reason(cut: MonoCut, split: str, config: PrepareConfig, hypotheses: Dict[str, str]) -> Optional[str]:
    """Why an utterance is left out, or None."""
    text = cut.supervisions[0].text
    if len(text.split()) < max(1, config.min_words):
        return f"under {max(1, config.min_words)} words"
    if is_unclear(cut.supervisions[0].custom["written"]):
        return "a number that may be said in several ways"
    if split in LIMITED and cut.duration > config.max_duration:
        return f"longer than {config.max_duration:g} s"
    if hypotheses and cut.id not in hypotheses:
        return "without a hypothesis"
    if hypotheses and word_error_rate(text, hypotheses[cut.id]) > config.max_wer:
        return f"hypothesis of over {config.max_wer:g} % WER"
    return None


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole.
    """
    data = Path(config.corpus_dir) / "data"
    require_paths(data, tuple(FOLDERS.values()), ADVICE)
    files = {split: find_utterances(data / name) for split, name in FOLDERS.items()}
    hypotheses = read_hypotheses(config.hypotheses) if config.hypotheses else {}
    if not hypotheses:
        LOG.warning("no --hypotheses: utterances are filtered by length alone, not by the quality of transcripts")
    for split in FOLDERS:

        def reason(cut: MonoCut, split: str = split) -> Optional[str]:
            return drop_reason(cut, split, config, hypotheses)

        write_split(Path(config.data_dir) / "manifests", "myst", split, cuts_of(files[split], config.nj), reason)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
