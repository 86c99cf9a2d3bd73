"""Stage 1 of corpora whose utterances are of classes: keywords, emotions, intents, speakers.

Whatever the lists of a corpus look like, what they say becomes `Listed` by id and split, or cuts; here is checked that
the classes can be learnt from the training split and told in the others, before anything is written.
"""

import collections
import logging
from pathlib import Path
from typing import Dict, Iterator, Mapping, NamedTuple, Optional, Sequence

from lhotse import MonoCut
from lhotse.utils import fastcopy

from icefall_discrete.data.corpus_files import read_headers, whole_supervision
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import (
    CorpusError,
    PathLike,
    SplitFigures,
    listed,
    manifest_path,
    utterance_cuts,
    write_split,
)

LOG = logging.getLogger(__name__)


class Listed(NamedTuple):
    """What the lists of a corpus say of an utterance, whose audio is a file of its own.

    custom: further facts (data/facts.py), the class among them unless it is the speaker, language or gender.
    """

    audio: Path
    custom: Mapping[str, str]
    text: str = ""
    language: Optional[str] = None
    speaker: Optional[str] = None
    gender: Optional[str] = None

    def fact(self, name: str) -> Optional[str]:
        """What is known of it by this name; None if nothing is."""
        known = {"language": self.language, "speaker": self.speaker, "gender": self.gender, **self.custom}
        return known.get(name) or None


def check_classes(fact: str, classes: Mapping[str, Mapping[str, Optional[str]]]) -> None:
    """Make sure that the classes of utterances can be learnt and told.

    Args:
      fact: what the class is, such as keyword. classes: class by id of the utterance, by split, the training split
        first.
    Raises:
      CorpusError: for a split without utterances, an utterance without a class or in two splits, a training split of
        fewer than two classes, and a class that it lacks.
    """
    train, *others = classes
    split_of: Dict[str, str] = {}
    for split, of_split in classes.items():
        if not of_split:
            raise CorpusError(f"{split}: it holds no utterance; was the right corpus, and the right list, given?")
        for name, value in of_split.items():
            if value is None:
                raise CorpusError(f"{split}: the {fact} of utterance {name} is not known; give it one, or drop it.")
            if split_of.setdefault(name, split) != split:
                raise CorpusError(f"utterance {name} is in {split_of[name]} and in {split}; correct one of the lists.")
    counts = collections.Counter(map(str, classes[train].values()))
    if len(counts) < 2:
        raise CorpusError(
            f"{train}: the {fact} of all {sum(counts.values())} utterances is {next(iter(counts))}; there must be two "
            "or more to tell apart: was the whole corpus given?"
        )
    for split in others:
        lacking = {str(value): name for name, value in classes[split].items() if str(value) not in counts}
        if lacking:
            raise CorpusError(
                f"{split}: {train} has no utterance whose {fact} is {listed(lacking)}, as that of "
                f"{min(lacking.values())} is; what is not learnt cannot be told: add such utterances to {train}, or "
                f"take these out of {split}."
            )
    number, fewest, most = len(counts), min(counts.values()), max(counts.values())
    LOG.info(f"{fact}: {number} classes; {train} has {fewest} to {most} utterances of each")


def require_audio(where: str, files: Mapping[str, Path], advice: str) -> None:
    """Raise CorpusError if audio files (by id) that the lists of `where` name are not there, with count and names."""
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        what = "audio file is" if len(missing) == 1 else "audio files are"
        raise CorpusError(f"{where}: {len(missing)} of {len(files)} {what} missing ({listed(missing)}); {advice}.")


def cuts_of(utterances: Mapping[str, Listed], num_jobs: int) -> Iterator[MonoCut]:
    """One cut for each utterance, in the order of their ids; audio that cannot be read is left out, named and counted.

    num_jobs: processes that read headers.
    """
    recordings = read_headers({name: one.audio for name, one in utterances.items()}, num_jobs).recordings
    supervisions = []
    for name, recording in recordings.items():
        one = utterances[name]
        item = whole_supervision(recording, one.text or None, one.language, one.speaker)
        supervisions.append(fastcopy(item, gender=one.gender, custom=dict(one.custom) or None))
    yield from utterance_cuts(recordings.values(), supervisions)


def write_cuts_of_classes(
    folder: PathLike, corpus: str, fact: str, splits: Mapping[str, Sequence[MonoCut]]
) -> Dict[str, SplitFigures]:
    """Check the classes of cuts and write the manifest of each split, the training split first.

    Returns:
      the figures of each split.
    Raises:
      CorpusError: as `check_classes` and `write_split`; nothing is written unless all classes are sound.
    """
    check_classes(fact, {split: {cut.id: _class_of(cut, fact) for cut in cuts} for split, cuts in splits.items()})
    return {split: write_split(folder, corpus, split, cuts, required=(fact,)) for split, cuts in splits.items()}


def _class_of(cut: MonoCut, fact: str) -> Optional[str]:
    value = facts_of(cut).get(fact)
    return None if value is None else str(value)


def write_classes(
    folder: PathLike, corpus: str, fact: str, splits: Mapping[str, Mapping[str, Listed]], num_jobs: int, advice: str
) -> Dict[str, SplitFigures]:
    """Check what the lists of a corpus say, read its audio files' headers, and write the manifest of each split.

    Args:
      fact: what is to be learnt. splits: utterances by id, by split, the training split first.
      num_jobs: processes that read headers. advice: what to do about missing audio, the end of a sentence.
    Returns:
      the figures of each split.
    Raises:
      CorpusError: as `check_classes` and `write_split`, and for audio files that are missing.
    """
    check_classes(fact, {split: {name: one.fact(fact) for name, one in of.items()} for split, of in splits.items()})
    for split, utterances in splits.items():
        require_audio(split, {name: one.audio for name, one in utterances.items()}, advice)
    cuts = {split: list(cuts_of(utterances, num_jobs)) for split, utterances in splits.items()}
    return write_cuts_of_classes(folder, corpus, fact, cuts)


def choose_classes(
    folder: PathLike, source: str, corpus: str, fact: str, splits: Sequence[str], min_utterances: int
) -> Dict[str, SplitFigures]:
    """Write manifests of those cuts of another corpus' manifests whose class has enough training utterances.

    Args:
      folder: of both manifests. source: name of those that are there. corpus: of those that are made.
      splits: the training split first. min_utterances: fewest of a class in the training split.
    Returns:
      the figures of each split, with what was left out by reason; speed copies are not expected.
    Raises:
      CorpusError: if a manifest is missing, or as `check_classes`.
    """
    paths = {split: manifest_path(folder, source, split) for split in splits}
    for path in paths.values():
        if not path.is_file():
            raise CorpusError(f"{path}, whose cuts are to be chosen from, does not exist; prepare its corpus first.")
    cuts = {split: load_cuts(path) for split, path in paths.items()}
    counts = collections.Counter(_class_of(cut, fact) for cut in cuts[splits[0]])
    few = f"{fact} of fewer than {min_utterances} utterances in {splits[0]}"

    def reason(cut: MonoCut) -> Optional[str]:
        value = _class_of(cut, fact)
        if value is None:
            return f"{fact} not known"
        return few if counts[value] < min_utterances else None

    def kept(split: str) -> Dict[str, Optional[str]]:
        return {cut.id: _class_of(cut, fact) for cut in cuts[split] if reason(cut) is None}

    check_classes(fact, {split: kept(split) for split in splits})
    return {split: write_split(folder, corpus, split, cuts[split], reason, required=(fact,)) for split in splits}
