#!/usr/bin/env python3
"""Stage 1, test sets besides MyST's own: CMU Kids, and any folder of sets -> `myst_cuts_<set>.jsonl.gz`.

A set is a folder with audio files anywhere in it and transcripts in `text`, a line `<utterance> <words>`, where the
utterance is the name of its file without suffix. CMU Kids lies as the LDC has it. Nothing is trained on them.
"""

import dataclasses
import logging
import re
from pathlib import Path
from typing import Dict, Iterator, Optional

from lhotse import MonoCut
from lhotse.utils import fastcopy
from myst_text import is_unclear, normalize

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.corpus_files import files_by_id, read_headers, transcripts_in, whole_supervision
from icefall_discrete.data.manifests import CorpusError, require_pairs, require_paths, utterance_cuts, write_split

LOG = logging.getLogger("prepare_sets")
CMU_KIDS, TEXTS = "cmu_kids", "text"
OWN_SPLITS = ("train", "dev", "test", CMU_KIDS)
AUDIO = (".wav", ".flac", ".sph", ".ogg", ".opus", ".mp3", ".m4a")
ADVICE = "complete the folder, or correct its list"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# fabm2aa1: speaker fabm, sentence 2aa, bin 1
_CMU_ID = re.compile(r"(?P<speaker>\w{4})(?P<sentence>\w{3})[12]")


@dataclasses.dataclass(frozen=True)
class SetsConfig:
    """Where the sets lie."""

    cmu_kids: str = setting("", "folder of CMU Kids (LDC97S63), with tables/ and kids/; empty: not prepared")
    test_sets: str = setting("", "folder with a folder for each further set; empty: none")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    nj: int = setting(2, "processes that read headers of audio")


@dataclasses.dataclass(frozen=True)
class Said:
    """An utterance: its audio file, what was said as it is written, and who said it if that is known."""

    audio: Path
    written: str
    speaker: Optional[str] = None


def cmu_kids_utterances(folder: Path) -> Dict[str, Said]:
    """Utterances of CMU Kids by id. The text is the sentence that was to be read, whatever the child made of it.

    Raises:
      CorpusError: if a table or audio is missing, or an utterance names no sentence of the tables.
    """
    require_paths(folder, ("tables/sentence.tbl", "tables/transcrp.tbl", "kids"), "copy LDC97S63's folder cmu_kids")
    rows = transcripts_in([folder / "tables" / "sentence.tbl"], "\t")  # sentence, number of recordings, words
    sentences = {name: row.partition("\t")[2] for name, row in rows.items()}
    audio = _audio_in(folder / "kids", str(folder))
    names = transcripts_in([folder / "tables" / "transcrp.tbl"])
    require_pairs(str(folder), set(names), set(audio) & set(names), ADVICE)
    utterances = {}
    for name in sorted(names):
        found = _CMU_ID.fullmatch(name)
        if found is None or not sentences.get(found["sentence"]):
            raise CorpusError(f"{folder}: utterance {name} names no sentence of tables/sentence.tbl; {ADVICE}.")
        utterances[name] = Said(audio[name], sentences[found["sentence"]], found["speaker"])
    return utterances


def _audio_in(folder: Path, where: str) -> Dict[str, Path]:
    return files_by_id((path for path in folder.rglob("*") if path.suffix.lower() in AUDIO), where)


def utterances_of(folder: Path) -> Dict[str, Said]:
    """Utterances of a further set by id.

    Raises:
      CorpusError: if its list is missing or empty, or names audio that is not there.
    """
    require_paths(folder, (TEXTS,), "write the transcripts there, a line `<utterance> <words>`")
    texts = transcripts_in([folder / TEXTS])
    if not texts:
        raise CorpusError(f"{folder / TEXTS} holds no transcript; {ADVICE}.")
    audio = _audio_in(folder, str(folder))
    require_pairs(str(folder), set(texts), set(audio) & set(texts), ADVICE)
    LOG.info(f"{folder}: {len(texts)} utterances with a transcript, {len(set(audio) - set(texts))} without")
    return {name: Said(audio[name], text) for name, text in sorted(texts.items())}


def find_sets(config: SetsConfig) -> Dict[str, Dict[str, Said]]:
    """Utterances by id, by the name of the set.

    Raises:
      CorpusError: as its parts do, and for a folder without sets, or one that is called as a split is.
    """
    sets = {CMU_KIDS: cmu_kids_utterances(Path(config.cmu_kids))} if config.cmu_kids else {}
    if config.test_sets:
        folders = sorted(path for path in Path(config.test_sets).glob("[!.]*") if path.is_dir())
        if not folders:
            raise CorpusError(f"{config.test_sets} holds no folder; put one there for each test set.")
        for folder in folders:
            if folder.name in OWN_SPLITS or not _NAME.fullmatch(folder.name):
                raise CorpusError(
                    f"{folder}: a test set cannot be called {folder.name!r}; call the folder otherwise, in letters, "
                    f"digits, - and _, and not {', '.join(OWN_SPLITS)}."
                )
            sets[folder.name] = utterances_of(folder)
    return sets


def cuts_of(utterances: Dict[str, Said], num_jobs: int) -> Iterator[MonoCut]:
    """One cut for each utterance, with what was written; audio that cannot be read is left out, named and counted."""
    recordings = read_headers({name: one.audio for name, one in utterances.items()}, num_jobs).recordings
    supervisions = []
    for name, recording in recordings.items():
        one = utterances[name]
        item = whole_supervision(recording, normalize(one.written), "en", one.speaker)
        supervisions.append(fastcopy(item, custom={"written": one.written}))
    yield from utterance_cuts(recordings.values(), supervisions)


def drop_reason(cut: MonoCut) -> Optional[str]:
    """Why an utterance is left out, or None."""
    if not cut.supervisions[0].text:
        return "no words"
    return "a number that may be said in several ways" if is_unclear(cut.supervisions[0].custom["written"]) else None


def prepare(config: SetsConfig) -> None:
    """Run the whole stage; nothing is written unless all sets are whole.

    Raises:
      CorpusError: as `find_sets`.
    """
    for name, utterances in find_sets(config).items():
        write_split(Path(config.data_dir) / "manifests", "myst", name, cuts_of(utterances, config.nj), drop_reason)


def main() -> None:
    prepare(config_from_flags(SetsConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
