"""What stage 1 of every recipe shares: checks that name what a corpus lacks, and validated manifests of cuts.

Cuts pass through one by one, so that a split of any size needs little memory; a manifest is whole or absent.
"""

import collections
import contextlib
import hashlib
import logging
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, NamedTuple, Optional, Sequence, Set, Union

from lhotse import MonoCut, Recording, SupervisionSegment, validate
from lhotse.utils import fastcopy
from tqdm import tqdm

from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.text_files import is_one_line
from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.data.facts import facts_of
from icefall_discrete.text.words import words_in

LOG = logging.getLogger(__name__)
PathLike = Union[str, Path]
NAMES_SHOWN = 3
_BLOCK_BYTES = 1 << 20


class CorpusError(RuntimeError):
    """A corpus that cannot be fetched or read; the message says what to do."""


def listed(names: Iterable[str]) -> str:
    """The first few names in order, and how many more there are: 'a, b, c and 14 more'."""
    names = sorted(names)
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _number(names: Sequence[str], singular: str, plural: str) -> str:
    return f"{len(names)} {singular if len(names) == 1 else plural}"


def require_paths(corpus_dir: PathLike, paths: Sequence[str], advice: str) -> None:
    """Raise CorpusError if `corpus_dir` lacks some of the files or folders `paths` below it, with count and names.

    advice: what to do, the end of the sentence.
    """
    corpus_dir = Path(corpus_dir)
    if not corpus_dir.is_dir():
        raise CorpusError(f"the corpus folder {corpus_dir} does not exist; {advice}.")
    missing = [path for path in paths if not (corpus_dir / path).exists()]
    if missing:
        raise CorpusError(f"{corpus_dir} lacks {len(missing)} of {len(paths)} parts ({listed(missing)}); {advice}.")


def require_pairs(where: str, transcribed: Set[str], recorded: Set[str], advice: str) -> None:
    """Raise CorpusError if transcripts and audio files of `where` (a split) are not of the same utterances.

    Args:
      transcribed, recorded: ids of utterances with a transcript, and with an audio file. advice: what to do.
    """
    silent, unwritten = sorted(transcribed - recorded), sorted(recorded - transcribed)
    found = []
    if silent:
        found.append(f"{_number(silent, 'transcript has', 'transcripts have')} no audio ({listed(silent)})")
    if unwritten:
        found.append(f"{_number(unwritten, 'audio file has', 'audio files have')} no transcript ({listed(unwritten)})")
    if found:
        raise CorpusError(f"{where}: {' and '.join(found)}; {advice}.")
    if not transcribed:
        raise CorpusError(f"{where}: it holds no utterance; {advice}.")


def require_count(where: str, found: int, published: int, advice: str) -> None:
    """Raise CorpusError if a split has another number of utterances than its publishers say."""
    if found != published:
        raise CorpusError(f"{where} has {found} utterances, the published corpus has {published}; {advice}.")


def md5_of(path: PathLike) -> str:
    """MD5 of a file of any size, as hexadecimal text."""
    digest = hashlib.md5()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def require_md5(path: PathLike, expected: str) -> None:
    """Raise CorpusError if the file has another MD5 than its publishers say."""
    actual = md5_of(path)
    if actual != expected:
        raise CorpusError(f"{path} has MD5 {actual}, expected {expected}; move it aside and run stage 0 again.")


@contextlib.contextmanager
def explained_download(what: str, by_hand: str) -> Iterator[None]:
    """Turn any failure of a download (`what`) into a CorpusError that says how to go on, or what to put where."""
    try:
        yield
    except CorpusError:
        raise
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise CorpusError(
            f"cannot fetch {what}: {reason}. Check the network and run stage 0 again (it goes on where it was), or "
            f"fetch it elsewhere: {by_hand}."
        ) from error


def utterance_cuts(recordings: Iterable[Recording], supervisions: Iterable[SupervisionSegment]) -> Iterator[MonoCut]:
    """One cut for each supervision, in the order of their ids; the cut has the supervision's id.

    Args:
      recordings: those that the supervisions are of; one may hold many utterances.
    Raises:
      CorpusError: if the recording of a supervision is not among them.
    """
    by_id: Dict[str, Recording] = {recording.id: recording for recording in recordings}
    for supervision in sorted(supervisions, key=lambda item: item.id):
        if supervision.recording_id not in by_id:
            raise CorpusError(f"utterance {supervision.id}: its recording {supervision.recording_id} is missing.")
        yield MonoCut(
            id=supervision.id,
            start=supervision.start,
            duration=supervision.duration,
            channel=supervision.channel,
            supervisions=[fastcopy(supervision, start=0.0)],
            recording=by_id[supervision.recording_id],
        )


def checked_cuts(cuts: Iterable[MonoCut], where: str, required: Sequence[str] = ("text",)) -> Iterator[MonoCut]:
    """Yield the cuts after checking what the later stages rely on.

    Args:
      required: facts (data/facts.py) that each cut must have: what the recipes of the corpus learn.
    Raises:
      CorpusError: naming the first cut that lacks one, has more than one supervision, or an id that is not unique.
    """
    seen: Set[int] = set()  # hashes of ids, which take less memory than the ids
    for cut in cuts:
        if len(cut.supervisions) != 1:
            raise CorpusError(f"{where}: cut {cut.id} has {len(cut.supervisions)} supervisions, expected 1.")
        facts = facts_of(cut)
        for name in required:
            if facts.get(name) is None:
                lacks, mend = ("empty", "correct its transcript") if name == "text" else ("not known", "give it one")
                raise CorpusError(f"{where}: the {name} of cut {cut.id} is {lacks}; {mend} or drop the cut.")
        if not is_one_line(cut.id):
            raise CorpusError(
                f"{where}: cut id {cut.id!r} has a tab, an end of a line or a control character, which no table and "
                "transcript could hold; rename it."
            )
        if hash(cut.id) in seen:
            raise CorpusError(f"{where}: cut id {cut.id} occurs twice.")
        seen.add(hash(cut.id))
        try:
            validate(cut)
        except AssertionError as error:
            raise CorpusError(f"{where}: cut {cut.id} is not valid: {error}") from error
        yield cut


class SplitFigures(NamedTuple):
    """Size of a split; `dropped` counts what was left out, by reason."""

    split: str
    num_cuts: int
    hours: float
    num_words: int
    dropped: Dict[str, int]


def manifest_path(folder: PathLike, corpus: str, split: str) -> Path:
    """Where the cuts of a split lie: <corpus>_cuts_<split>.jsonl.gz."""
    return Path(folder) / f"{corpus}_cuts_{split}.jsonl.gz"


def write_split(
    folder: PathLike,
    corpus: str,
    split: str,
    cuts: Iterable[MonoCut],
    drop_reason: Callable[[MonoCut], Optional[str]] = lambda cut: None,
    required: Sequence[str] = ("text",),
) -> SplitFigures:
    """Check the cuts of a split and write its manifest, whole or not at all, one by one with a progress bar.

    Args:
      cuts: may be a generator. drop_reason: says why a cut is left out, None for one to keep.
      required: facts that each cut must have, such as text, speaker, or a field of the corpus.
    Returns:
      its figures, which are logged as well.
    Raises:
      CorpusError: for a cut that fails the checks, or if no cut is left.
    """
    dropped: Dict[str, int] = collections.Counter()
    seconds = words = number = 0

    def kept() -> Iterator[MonoCut]:
        nonlocal seconds, words, number
        for cut in tqdm(cuts, desc=f"cuts of {split}", unit="cut"):
            reason = drop_reason(cut)
            if reason is not None:
                dropped[reason] += 1
                continue
            number, seconds = number + 1, seconds + cut.duration
            words += len(words_in(cut.supervisions[0].text or "")) if cut.supervisions else 0
            yield cut
        if not number:
            raise CorpusError(f"{split}: no utterance is left of {sum(dropped.values())}; was the right corpus given?")

    path = manifest_path(folder, corpus, split)
    write_cuts(path, checked_cuts(kept(), f"split {split}", required))
    figures = SplitFigures(split, number, seconds / 3600, words, dict(dropped))
    left_out = "".join(f", {count} left out: {reason}" for reason, count in sorted(dropped.items()))
    LOG.info(f"{path.name}: {number} utterances, {hours_text(figures.hours)} hours, {words} words{left_out}")
    return figures
