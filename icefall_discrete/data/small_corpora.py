"""Stage 1 of small corpora of several languages: splits by digest, subsets, the counts that define a corpus."""

import collections
import dataclasses
import functools
import hashlib
import logging
import multiprocessing
from pathlib import Path
from typing import (
    Callable,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    TypeVar,
)

from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment
from tqdm import tqdm

from icefall_discrete.base.settings import MOST_PROCESSES, setting
from icefall_discrete.data.manifests import CorpusError, write_split

SPLITS = ("train", "dev", "test")


class Utterance(Protocol):
    """What is known of an utterance before its audio is decoded."""

    @property
    def id(self) -> str:
        """Unique in the corpus."""

    @property
    def language(self) -> str:
        """Its code."""

    @property
    def split(self) -> str:
        """One of `SPLITS`."""

    @property
    def text(self) -> str:
        """Its words."""

    @property
    def md5(self) -> str:
        """Of the file that its audio is fetched as."""

    @property
    def duration(self) -> float:
        """In seconds."""


U = TypeVar("U", bound=Utterance)
T = TypeVar("T")
R = TypeVar("R")


def split_of(key: str) -> str:
    """Return the split of what has this key (an id, a text): a tenth each is test and dev, by the MD5 of the key."""
    remainder = int(hashlib.md5(key.encode("utf-8")).hexdigest(), 16) % 10
    return {0: "test", 1: "dev"}.get(remainder, "train")


def take_subset(utterances: Iterable[U], size: int, max_duration: float) -> List[U]:
    """Return about `size` short utterances of each split, the languages taking turns; the same ones every time.

    max_duration: of the longest one, in seconds.
    """
    queues: Dict[Tuple[str, str], List[U]] = collections.defaultdict(list)
    for utterance in sorted(utterances, key=lambda u: (u.md5, u.id)):  # fixed, and nothing to do with the text
        if utterance.duration <= max_duration:
            queues[utterance.split, utterance.language].append(utterance)
    kept: List[U] = []
    for split in SPLITS:
        turns = [queues[key] for key in sorted(queues) if key[0] == split]
        taken = [queue[i] for i in range(size) for queue in turns if i < len(queue)]
        kept += taken[:size]
    return sorted(kept, key=lambda u: u.id)


def do_each(work: Callable[[T], None], items: Sequence[T], num_jobs: int, title: str) -> None:
    """Do something with every item, in `num_jobs` processes, with a progress bar; what one raises ends all."""
    bar = functools.partial(tqdm, total=len(items), desc=title, unit="file")
    if num_jobs <= 1:
        for item in bar(items):
            work(item)
        return
    with multiprocessing.Pool(num_jobs) as pool:
        for _ in bar(pool.imap_unordered(work, items, chunksize=16)):
            pass


def map_each(work: Callable[[T], R], items: Sequence[T], num_jobs: int, title: str) -> List[R]:
    """What `work` makes of every item, in their order, in `num_jobs` processes, with a progress bar."""
    bar = functools.partial(tqdm, total=len(items), desc=title, unit="file")
    if num_jobs <= 1:
        return list(bar(map(work, items)))
    with multiprocessing.Pool(num_jobs) as pool:
        return list(bar(pool.imap(work, items, chunksize=16)))


def file_cut(
    utterance: Utterance,
    audio: Path,
    num_samples: int,
    sample_rate_hz: int,
    speaker: Optional[str],
    custom: Mapping[str, str],
) -> MonoCut:
    """Return the cut of an utterance whose audio, of one channel, lies in a file of its own.

    Args:
      num_samples, sample_rate_hz: of the file `audio`. speaker: None if unknown. custom: further facts.
    """
    recording = Recording(
        id=utterance.id,
        sources=[AudioSource(type="file", channels=[0], source=str(audio))],
        sampling_rate=sample_rate_hz,
        num_samples=num_samples,
        duration=num_samples / sample_rate_hz,
    )
    supervision = SupervisionSegment(
        id=utterance.id,
        recording_id=utterance.id,
        start=0.0,
        duration=recording.duration,
        channel=0,
        text=utterance.text,
        language=utterance.language,
        speaker=speaker,
        custom=dict(custom),
    )
    return MonoCut(
        id=utterance.id,
        start=0.0,
        duration=recording.duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )


def table(utterances: Iterable[Utterance], languages: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a table: utterances per language and split, then hours and words per split."""
    in_split: Dict[str, List[Utterance]] = {split: [] for split in SPLITS}
    for utterance in utterances:
        in_split[utterance.split].append(utterance)
    yield f"{'':8}" + "".join(f"{split:>9}" for split in SPLITS)
    for language in languages:
        counts = (sum(u.language == language for u in in_split[split]) for split in SPLITS)
        yield f"{language:8}" + "".join(f"{count:9d}" for count in counts)
    yield f"{'all':8}" + "".join(f"{len(in_split[s]):9d}" for s in SPLITS)
    yield f"{'hours':8}" + "".join(f"{sum(u.duration for u in in_split[s]) / 3600:9.2f}" for s in SPLITS)
    yield f"{'words':8}" + "".join(f"{sum(len(u.text.split()) for u in in_split[s]):9d}" for s in SPLITS)


class Published(NamedTuple):
    """What a corpus is known by: utterances in train, dev and test of each language, and the words of the test set."""

    utterances: Mapping[str, Tuple[int, int, int]]
    test_words: int


def check_counts(utterances: Sequence[Utterance], languages: Sequence[str], published: Published) -> None:
    """Compare some languages of a corpus, or all, with its published definition.

    Raises:
      CorpusError: at the first difference.
    """
    count = collections.Counter((u.language, u.split) for u in utterances)
    for language in languages:
        actual = tuple(count[language, split] for split in SPLITS)
        if actual != published.utterances[language]:
            raise CorpusError(
                f"'{language}' has {actual} utterances in {'/'.join(SPLITS)}, the published corpus has "
                f"{published.utterances[language]}: this is another release, or num2words speaks differently. Results "
                "would not be comparable; --check-counts false goes on all the same."
            )
    words = sum(len(u.text.split()) for u in utterances if u.split == "test")
    if set(languages) == set(published.utterances) and words != published.test_words:
        raise CorpusError(
            f"the test split has {words} words, the published corpus has {published.test_words}; "
            "--check-counts false goes on all the same."
        )


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which utterances are kept, and where manifests and audio go; a corpus adds its folder and its languages."""

    data_dir: str = setting("data", "output folder; audio goes to its audio/, manifests to its manifests/")
    min_duration: float = setting(0.3, "shortest utterance (s); part of the corpus's definition")
    max_duration: float = setting(20.0, "longest utterance (s); part of the corpus's definition")
    subset: int = setting(0, "keep only about this many utterances a split, balanced over languages; 0 keeps all")
    subset_max_duration: float = setting(4.0, "longest utterance of a subset (s)")
    nj: int = setting(2, "processes that convert audio", minimum=1, maximum=MOST_PROCESSES)
    check_counts: bool = setting(True, "refuse a full corpus whose counts differ from the published definition")

    def why_not(self, duration: float) -> Optional[str]:
        """Why an utterance of `duration` seconds is dropped; None if it is not."""
        if duration < self.min_duration:
            return f"shorter than {self.min_duration:g} s"
        return f"longer than {self.max_duration:g} s" if duration > self.max_duration else None


@dataclasses.dataclass(frozen=True)
class SmallCorpus(Generic[U]):
    """What a corpus gives to `prepare`.

    name: of its manifests. published: what it is known by. read_language: the utterances of a language's folder; counts
    the others by reason. write_audio: makes the audio of an utterance, picklable. make_cut: the cut of one with audio.
    """

    name: str
    published: Published
    read_language: Callable[[Path, collections.Counter], List[U]]
    write_audio: Callable[[U], None]
    make_cut: Callable[[U], MonoCut]


def prepare(corpus: SmallCorpus[U], corpus_dir: Path, languages: Sequence[str], config: PrepareConfig) -> None:
    """Make audio and manifests of some languages of a corpus, and say what was dropped and what there is.

    Raises:
      CorpusError: if the corpus folder is missing, damaged or another release.
    """
    if not corpus_dir.is_dir():
        raise CorpusError(f"the corpus folder {corpus_dir} does not exist; run stage 0, or give it with --corpus-dir.")
    drops: Dict[str, collections.Counter] = {language: collections.Counter() for language in languages}
    utterances = [one for name in languages for one in corpus.read_language(corpus_dir / name, drops[name])]
    if config.check_counts:
        check_counts(utterances, languages, corpus.published)
    if config.subset:
        utterances = take_subset(utterances, config.subset, config.subset_max_duration)
    do_each(corpus.write_audio, utterances, config.nj, "convert to 16 kHz")
    for split in SPLITS:
        cuts = (corpus.make_cut(one) for one in utterances if one.split == split)
        write_split(Path(config.data_dir) / "manifests", corpus.name, split, cuts)
    for language, reasons in drops.items():
        for reason, number in reasons.most_common():
            logging.info(f"{language}, {reason}: {number}")
    for row in table(utterances, languages):
        logging.info(row)
