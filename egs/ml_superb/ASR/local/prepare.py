#!/usr/bin/env python3
"""Stage 1: the 1-hour set of ML-SUPERB -> validated lhotse cuts, `ml_superb_cuts_{train,dev,test}.jsonl.gz`.

<source>/<language>/ holds wav/<utterance>.wav and lists with lines of an id, a field that is not used, and the text.
Training is on transcript_1h_train.txt; dev and test are those of the 10-minute set, as in the benchmark. Of the
few-shot languages five utterances each are trained on (conf/few_shot_utterances.txt). With the cuts of LibriSpeech, its
100 hours are trained on as well, and its four evaluation sets become the split `librispeech`, as in the challenge.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Tuple

from lhotse import MonoCut
from lhotse.utils import fastcopy
from ml_superb_text import normalize

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import numbered_lines, read_text
from icefall_discrete.data.corpus_files import read_headers, whole_supervision
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import (
    CorpusError,
    listed,
    manifest_path,
    require_pairs,
    require_paths,
    utterance_cuts,
    write_split,
)

LOG = logging.getLogger("prepare")
LISTS = {"train": "transcript_1h_train.txt", "dev": "transcript_10min_dev.txt", "test": "transcript_10min_test.txt"}
SOURCES = (
    *("ALFFA", "LAD", "M-AILABS", "NST", "commonvoice", "fleurs", "googlei18n_asr", "googlei18n_tts"),
    *("mexico-el", "mls", "nchlt", "swc", "voxforge", "voxpopuli"),
)
ENGLISH = "eng"
ENGLISH_SPLITS = {
    "train": ("train-clean-100",),
    "dev": ("dev-clean", "dev-other"),
    "librispeech": ("dev-clean", "dev-other", "test-clean", "test-other"),
}
ADVICE = "unpack the corpus again"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which utterances are kept, and where everything lies."""

    corpus_dir: str = setting("download/ml_superb", "folder of the corpus, with a folder for each source")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    sources: Tuple[str, ...] = setting(SOURCES, "sources that must be there")
    few_shot_list: str = setting("conf/few_shot_utterances.txt", "ids of all that is trained on of their languages")
    max_duration: float = setting(20.0, "longest utterance (s) of training")
    librispeech_manifests: str = setting("", "folder of librispeech_cuts_*.jsonl.gz, for the challenge; empty: without")
    nj: int = setting(2, "processes that read headers of audio")


class Utterance(NamedTuple):
    """A line of a list."""

    audio: Path
    text: str
    language: str
    source: str


def read_list(path: Path) -> Dict[str, str]:
    """Text by utterance id. Raises CorpusError for lines without the three fields, or an id that occurs twice."""
    lines = [(number, line.split(maxsplit=2)) for number, line in numbered_lines(path)]
    short = [f"line {number}" for number, fields in lines if len(fields) < 3]
    if short:
        raise CorpusError(f"{path}: expected an id, a field and a text, not so {listed(short)}; {ADVICE}.")
    texts = {fields[0]: fields[2] for _, fields in lines}
    if len(texts) < len(lines):
        raise CorpusError(f"{path}: {len(lines) - len(texts)} utterances are listed twice; {ADVICE}.")
    return texts


def read_part(folder: Path) -> Dict[str, Dict[str, Utterance]]:
    """The utterances of a language of a source by split and id, after comparing lists with audio files.

    Raises:
      CorpusError: for a missing list, a listed utterance without audio, or one in two splits.
    """
    require_paths(folder, [*LISTS.values(), "wav"], ADVICE)
    language, source = folder.name, folder.parent.name
    audio = {path.stem for path in (folder / "wav").glob("*.wav")}
    splits: Dict[str, Dict[str, Utterance]] = {}
    seen: FrozenSet[str] = frozenset()
    for split, name in LISTS.items():
        texts = read_list(folder / name)
        require_pairs(f"{folder}, {name}", set(texts), audio & set(texts), ADVICE)
        if seen & set(texts):
            raise CorpusError(f"{folder / name} lists {listed(seen & set(texts))}, which other splits list; {ADVICE}.")
        seen |= set(texts)
        splits[split] = {
            key: Utterance(folder / "wav" / f"{key}.wav", text, language, source) for key, text in texts.items()
        }
    if audio - seen:
        LOG.info(f"{folder}: {len(audio - seen)} audio files are in none of the lists")
    return splits


def read_corpus(corpus_dir: Path, sources: Tuple[str, ...]) -> Dict[str, Dict[str, Utterance]]:
    """All utterances by split and id. Raises CorpusError if a source is missing or not whole, or ids are not unique."""
    require_paths(corpus_dir, sources, ADVICE)
    corpus: Dict[str, Dict[str, Utterance]] = {split: {} for split in LISTS}
    for source in sources:
        folders = sorted(path for path in (corpus_dir / source).iterdir() if path.is_dir())
        if not folders:
            raise CorpusError(f"{corpus_dir / source} holds no language; {ADVICE}.")
        for folder in folders:
            for split, utterances in read_part(folder).items():
                twice = set(utterances) & set(corpus[split])
                if twice:
                    raise CorpusError(f"{folder}: other folders have {listed(twice)} too; {ADVICE}.")
                corpus[split].update(utterances)
    return corpus


def cuts_of(utterances: Dict[str, Utterance], num_jobs: int) -> Iterator[MonoCut]:
    """One cut for each utterance whose audio is not empty (some of the corpus is), with its language and source."""
    recordings = read_headers({key: item.audio for key, item in utterances.items()}, num_jobs).recordings
    supervisions = []
    for key, recording in recordings.items():
        item = utterances[key]
        supervision = whole_supervision(recording, normalize(item.text), item.language, speaker=None)
        supervisions.append(fastcopy(supervision, custom={"source": item.source, "written": item.text}))
    yield from utterance_cuts(recordings.values(), supervisions)


def english_cuts(split: str, folder: Path) -> Iterator[MonoCut]:
    """The cuts of LibriSpeech that belong to a split, under ids of their own and the language of the other English."""
    for part in ENGLISH_SPLITS.get(split, ()):
        for cut in load_cuts(manifest_path(folder, "librispeech", part)):
            supervision = cut.supervisions[0]
            text = normalize(supervision.text or "")
            spoken = fastcopy(supervision, text=text, language=ENGLISH)
            yield fastcopy(cut, id=f"librispeech-{cut.id}", supervisions=[spoken])


def drop_reason(cut: MonoCut, split: str, config: PrepareConfig, few_shot: FrozenSet[str]) -> Optional[str]:
    """Why an utterance is left out, or None. `few_shot`: ids of all that is trained on of the few-shot languages."""
    if not cut.supervisions[0].text:
        return "no words"
    if split != "train":
        return None
    if cut.duration > config.max_duration:
        return f"longer than {config.max_duration:g} s"
    languages = {key.split("_")[1] for key in few_shot}
    if cut.supervisions[0].language in languages and cut.id not in few_shot:
        return "more of a few-shot language"
    return None


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole, or the manifests of LibriSpeech are not there.
    """
    english = Path(config.librispeech_manifests) if config.librispeech_manifests else None
    splits: List[str] = list(LISTS)
    if english is not None:
        parts = {part for parts in ENGLISH_SPLITS.values() for part in parts}
        paths = [manifest_path(english, "librispeech", part).name for part in sorted(parts)]
        require_paths(english, paths, "run stages 0 and 1 of the recipe of LibriSpeech")
        splits.append("librispeech")
    corpus = read_corpus(Path(config.corpus_dir), config.sources)
    few_shot = frozenset(read_text(Path(config.few_shot_list)).split())

    def cuts(split: str) -> Iterator[MonoCut]:
        if split in corpus:
            yield from cuts_of(corpus[split], config.nj)
        if english is not None:
            yield from english_cuts(split, english)

    for split in splits:

        def reason(cut: MonoCut, split: str = split) -> Optional[str]:
            return drop_reason(cut, split, config, few_shot)

        write_split(Path(config.data_dir) / "manifests", "ml_superb", split, cuts(split), reason)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
