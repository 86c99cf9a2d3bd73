#!/usr/bin/env python3
"""Stage 1: GigaSpeech as published -> gigaspeech_cuts_{<subset>,DEV,TEST}.jsonl.gz, by lhotse's own reader.

An utterance is a cut into its recording, a long Opus file; audio is not copied. Everything is read and written line by
line, so that XL needs no more memory than XS. Utterances that are no speech are left out, as by all toolkits.
"""

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Iterable, Iterator, List, Optional

import ijson
from lhotse import CutSet, MonoCut, Recording, RecordingSet
from lhotse.recipes.gigaspeech import prepare_gigaspeech
from lhotse.utils import fastcopy
from normalize_text import is_speech, normalize
from tqdm import tqdm

from icefall_discrete.audio.sources import why_no_audio
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import (
    CorpusError,
    listed,
    md5_of,
    require_count,
    require_paths,
    utterance_cuts,
    write_split,
)

LOG = logging.getLogger("prepare")
INDEX = "GigaSpeech.json"
EVAL_SPLITS = ("DEV", "TEST")
# Utterances that are speech; of the other splits no published count is known to us.
PUBLISHED_UTTERANCES = {"M": 909401, "XL": 8277188}
ADVICE = "README.md says how to fetch the corpus; give the folder that holds GigaSpeech/ with --dl-dir"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which subset is trained on, and where everything lies."""

    corpus_dir: str = setting("download/GigaSpeech", f"folder that holds {INDEX} and audio/")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    subset: str = setting("M", "training subset", choices=("XS", "S", "M", "L", "XL"))
    check_counts: bool = setting(True, "refuse a subset with another number of utterances than published")
    check_md5: bool = setting(False, f"compare every audio file with its MD5 in {INDEX}")
    nj: int = setting(2, "processes that read the corpus's index")


def require_audio(recordings: Iterable[Recording], split: str) -> None:
    """Raise CorpusError if audio files of a split are missing, with count and names."""
    missing: List[str] = []
    number = 0
    for recording in tqdm(recordings, desc=f"audio files of {split}", unit="file"):
        number += 1
        if not Path(recording.sources[0].source).is_file():
            missing.append(recording.sources[0].source)
    if missing:
        raise CorpusError(f"{split} lacks {len(missing)} of {number} audio files ({listed(missing)}); {ADVICE}.")
    if not number:
        raise CorpusError(f"{INDEX} has no recording of {split}; {ADVICE}.")


def long_cuts(split: str, folder: Path, config: PrepareConfig) -> CutSet:
    """The cuts that lhotse makes, one a recording; their manifest is kept in `folder` and made once, whole."""
    done, partial = folder / split, folder / f".{split}.partial"
    if not done.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
        prepare_gigaspeech(config.corpus_dir, partial, dataset_parts=[split], num_jobs=config.nj)
        require_audio(RecordingSet.from_jsonl_lazy(partial / f"gigaspeech_recordings_{split}.jsonl.gz"), split)
        partial.rename(done)
    return load_cuts(done / f"gigaspeech_cuts_{split}.jsonl.gz", lazy=True)


def require_checksums(corpus_dir: Path, splits: Iterable[str]) -> None:
    """Raise CorpusError if audio files of some splits differ from their MD5, with count and names."""
    tags = {"{" + split + "}" for split in splits}
    wrong: List[str] = []
    with open(corpus_dir / INDEX, "rb") as stream:
        for audio in tqdm(ijson.items(stream, "audios.item"), desc="checksums", unit="file"):
            if tags & set(audio["subsets"]) and md5_of(corpus_dir / audio["path"]) != audio["md5"]:
                wrong.append(audio["path"])
    if wrong:
        raise CorpusError(f"{len(wrong)} audio files differ from their MD5 in {INDEX} ({listed(wrong)}); {ADVICE}.")


def drop_reason(cut: MonoCut) -> Optional[str]:
    """Why an utterance is left out, or None."""
    text = cut.supervisions[0].text
    if not is_speech(text):
        return "no speech"
    return None if normalize(text) else "no words"


def utterances(recorded: Iterable[MonoCut]) -> Iterator[MonoCut]:
    """The cuts of the utterances of recordings, with the text as it is learnt.

    Files that hold no audio, seen from outside, are left out by name; to read whole files would take days.
    """
    unusable: List[str] = []
    for long_cut in recorded:
        path = Path(long_cut.recording.sources[0].source)
        reason = why_no_audio(path)
        if reason is not None:
            LOG.warning(f"{path} and its {len(long_cut.supervisions)} utterances are left out: {reason}")
            unusable.append(path.name)
            continue
        for cut in utterance_cuts([long_cut.recording], long_cut.supervisions):
            text = cut.supervisions[0].text
            if is_speech(text):
                cut = fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], text=normalize(text))])
            yield cut
    if unusable:
        LOG.warning(f"{len(unusable)} audio files are left out: {listed(unusable)}")


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage: first all that can be wrong with the corpus, then the manifests."""
    corpus_dir, folder = Path(config.corpus_dir), Path(config.data_dir) / "manifests"
    splits = [*EVAL_SPLITS, config.subset]
    require_paths(corpus_dir, [INDEX, "audio"], ADVICE)
    recorded = {split: long_cuts(split, folder / "whole_recordings", config) for split in splits}
    if config.check_md5:
        require_checksums(corpus_dir, splits)
    for split, cuts in recorded.items():
        figures = write_split(folder, "gigaspeech", split, utterances(cuts), drop_reason)
        if config.check_counts and split in PUBLISHED_UTTERANCES:
            advice = "fetch the subset again, or go on all the same with --check-counts false"
            require_count(split, figures.num_cuts, PUBLISHED_UTTERANCES[split], advice)


def main() -> None:
    """Prepare the manifests."""
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
