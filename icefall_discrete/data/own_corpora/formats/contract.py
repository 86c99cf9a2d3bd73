"""What a format of own corpora is: whether it knows a source, and what it reads there. A source is never written to."""

import abc
import collections
import dataclasses
import re
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

from lhotse import MonoCut, SupervisionSegment

from icefall_discrete.base.names import known_names
from icefall_discrete.base.registry import find_class, modules_in
from icefall_discrete.base.text_files import shown_name
from icefall_discrete.data.corpus_files import read_headers
from icefall_discrete.data.manifests import CorpusError, utterance_cuts

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".sph", ".aac", ".webm")
_SPLIT_WORDS = {
    "train": ("train", "training", "tr", "trn"),
    "dev": ("dev", "valid", "validation", "val", "cv", "development"),
    "test": ("test", "tst", "eval", "evaluation", "testing"),
}
AUTO = "auto"
_MOST_SEC = 1e7  # no recording lasts so many seconds
# What would end a word or a line, or change a terminal.
_NOT_IN_IDS = re.compile(r"[\s/\\\x00-\x1f\x7f-\x9f]+")


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a source is read.

    language: of utterances of which the source says none. columns: names of a table's columns that are called by other
    names than usual, by what they hold. num_jobs: processes that read headers. audio_dir: where audio is written that
    lies within a table, and in no file of its own.
    """

    language: str
    columns: Dict[str, str]
    num_jobs: int
    audio_dir: Path


class Found(NamedTuple):
    """What a source holds: cuts of one utterance each, with their texts as they are written; the split of those that
    the source puts into one, by id; and why something was left out, by name."""

    cuts: List[MonoCut]
    splits: Dict[str, str]
    unusable: Dict[str, str]


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A line of a list. start, duration: in seconds, None for the beginning and the rest. None: it is not known."""

    id: str
    audio: Path
    text: str
    speaker: Optional[str] = None
    language: Optional[str] = None
    split: Optional[str] = None
    gender: Optional[str] = None
    start: Optional[float] = None
    duration: Optional[float] = None


class SourceFormat(abc.ABC):
    """One way in which own corpora lie on disk."""

    is_general = False  # taken only where no other format suits

    @abc.abstractmethod
    def suits(self, source: Path) -> bool:
        """Whether a source looks like this format."""

    @abc.abstractmethod
    def read(self, source: Path, reading: Reading) -> Found:
        """Read it. Raises CorpusError, ValueError, OSError with a sentence for what is wrong."""


def known_split(name: str) -> Optional[str]:
    """The split that a folder, a file or a field names: train, dev or test; None if it names none, or two."""
    words = re.findall("[a-z]+", name.lower())
    found = {split for split, names in _SPLIT_WORDS.items() if set(words) & set(names)}
    return found.pop() if len(found) == 1 else None


def plain_id(name: str) -> str:
    """A name, such as a path, as an id of an utterance: without blanks, slashes and control characters."""
    return _NOT_IN_IDS.sub("-", name.strip()).strip("-")


def seconds_in(text: str) -> float:
    """A number of seconds that somebody wrote. Raises ValueError for what is none that audio has."""
    value = float(text)
    if not abs(value) <= _MOST_SEC:
        raise ValueError(f"{text!r} is no number of seconds")
    return value


def _ids(utterances: Sequence[Utterance], where: str) -> None:
    by_id: Dict[str, List[Utterance]] = collections.defaultdict(list)
    for one in utterances:
        by_id[one.id].append(one)
    twice = [ones for ones in by_id.values() if len(ones) > 1]
    if twice:
        first, second = twice[0][:2]
        raise CorpusError(
            f"{where}: {len(twice)} ids occur more than once, such as {first.id!r}, of {shown_name(first.audio.name)} "
            f"and {shown_name(second.audio.name)}; give each utterance an id of its own (in a table, column id), or "
            "leave one of the two out."
        )


def _is_text(value: Optional[str]) -> bool:
    """Whether a string can be written: halves of characters, as of names in another encoding, cannot."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_utf8(utterances: Sequence[Utterance], where: str) -> "tuple[List[Utterance], Dict[str, str]]":
    """The utterances whose files have names in UTF-8, and of the others why they are left out, by name.

    Raises CorpusError for what an utterance is said to be that cannot be written.
    """
    kept, unusable = [], {}
    for one in utterances:
        if not _is_text(str(one.audio)):
            unusable[shown_name(one.audio.name)] = "its name is not in UTF-8; rename the file"
            continue
        wrong = [value for value in (one.id, one.text, one.speaker, one.language, one.gender) if not _is_text(value)]
        if wrong:
            raise CorpusError(f"{where}: {ascii(wrong[0])[:80]} holds half a character, which is no text; correct it.")
        kept.append(one)
    return kept, unusable


def found_in_files(utterances: Sequence[Utterance], where: str, reading: Reading) -> Found:
    """The cuts of utterances whose audio lies in files; headers are read, and what is wrong with one is its reason.

    Args:
      where: the source, for errors.
    Raises:
      CorpusError: if an id occurs twice, or there is no utterance.
    """
    if not utterances:
        raise CorpusError(f"{where} lists no utterance; was the right place given?")
    utterances, unusable = _in_utf8(utterances, where)
    _ids(utterances, where)
    names = {path: f"audio-{number}" for number, path in enumerate(dict.fromkeys(one.audio for one in utterances))}
    alone = collections.Counter(one.audio for one in utterances)
    names.update({one.audio: one.id for one in utterances if alone[one.audio] == 1 and one.start is None})
    headers = read_headers({name: path for path, name in names.items()}, reading.num_jobs)
    supervisions, splits = [], {}
    for one in utterances:
        name = names[one.audio]
        recording = headers.recordings.get(name)
        if recording is None:
            unusable[one.id] = headers.unusable[name]
            continue
        start = one.start or 0.0
        rest = round(recording.duration - start, 8)
        if rest <= 0 or start < 0:
            unusable[one.id] = f"it begins at {start:g} s of {recording.duration:g} s"
            continue
        if one.duration is not None and one.duration <= 0:
            unusable[one.id] = f"it lasts {one.duration:g} s, so that it ends before it begins"
            continue
        if one.split is not None:
            splits[one.id] = one.split
        supervisions.append(
            SupervisionSegment(
                id=one.id,
                recording_id=name,
                start=start,
                # Ends of segments are rounded, and may lie some milliseconds behind the audio's.
                duration=min(one.duration or rest, rest),
                channel=recording.channel_ids[0],
                text=one.text,
                language=one.language or reading.language,
                speaker=one.speaker,
                gender=one.gender,
            )
        )
    return Found(list(utterance_cuts(headers.recordings.values(), supervisions)), splits, unusable)


def joined(parts: Iterable[Found]) -> Found:
    """What several parts of a source hold. Raises CorpusError for an id that is in two of them."""
    cuts: List[MonoCut] = []
    splits: Dict[str, str] = {}
    unusable: Dict[str, str] = {}
    for part in parts:
        cuts += part.cuts
        splits.update(part.splits)
        unusable.update(part.unusable)
    twice = [name for name, count in collections.Counter(cut.id for cut in cuts).items() if count > 1]
    if twice:
        raise CorpusError(f"{len(twice)} ids are in two parts of the source, such as {twice[0]!r}; rename them.")
    return Found(cuts, splits, unusable)


def known_formats() -> Dict[str, str]:
    """Modules of the formats, by name."""
    package = __name__.rpartition(".")[0]
    return {name: path for name, path in modules_in(package).items() if name != "contract"}


def find_format(name: str, source: Path) -> "tuple[str, SourceFormat]":
    """The format of that name, or for "auto" the one that suits the source, with its name.

    Raises:
      CorpusError: if the source is not there, or none suits it, or several do.
    """
    if not source.exists():
        raise CorpusError(f"the source {source} does not exist; say where the audio and its transcripts lie.")
    modules = known_formats()
    if name != AUTO:
        return name, find_class(modules, name, SourceFormat)()
    every = {one: find_class(modules, one, SourceFormat)() for one in sorted(modules)}
    suited = [one for one, kind in every.items() if kind.suits(source)]
    chosen = [one for one in suited if not every[one].is_general] or suited
    if len(chosen) != 1:
        found = f"may be each of {', '.join(chosen)}" if chosen else "is of no known format"
        raise CorpusError(f"{source} {found}; say which with --source-format, {known_names(sorted(modules), '')}")
    return chosen[0], every[chosen[0]]
