"""The manifests of several corpora joined to those of one: for a model of all their languages."""

import collections
import logging
from pathlib import Path
from typing import Dict, Iterator, Sequence

from lhotse import MonoCut

from icefall_discrete.base.numbers import hours_text
from icefall_discrete.data.cuts import language_of, load_cuts
from icefall_discrete.data.manifests import CorpusError, PathLike, SplitFigures, manifest_path, write_split

LOG = logging.getLogger(__name__)


def joined_cuts(folder: PathLike, corpora: Sequence[str], split: str) -> Iterator[MonoCut]:
    """The cuts of a split of each of the `corpora`, one corpus after the other, read one by one.

    Args:
      folder: where the manifests lie, <corpus>_cuts_<split>.jsonl.gz.
    Raises:
      CorpusError: if a manifest is missing or holds no cut, or for a cut at another sampling rate than the first one.
    """
    paths = [manifest_path(folder, corpus, split) for corpus in corpora]
    for path in paths:
        if not path.is_file():
            raise CorpusError(f"{path}, which is to be joined with others, does not exist; prepare its corpus first.")
    rate = None
    for path in paths:
        is_empty = True
        for cut in load_cuts(path, lazy=True):
            is_empty = False
            rate = rate or cut.sampling_rate
            if cut.sampling_rate != rate:
                raise CorpusError(
                    f"cut {cut.id} of split {split} is at {cut.sampling_rate} Hz, those before it at {rate} Hz; "
                    "prepare the corpora at one sampling rate."
                )
            yield cut
        if is_empty:
            raise CorpusError(f"{path}, which is to be joined with others, holds no cut; prepare its corpus again.")


def join_manifests(
    folder: PathLike, corpora: Sequence[str], corpus: str, splits: Sequence[str]
) -> Dict[str, SplitFigures]:
    """Write <corpus>_cuts_<split>.jsonl.gz of the cuts of all `corpora`, for each split whole or not at all.

    Each corpus keeps its own split; a cut must have a text, a language, and an id that no other has in any split.

    Returns:
      the figures of each split; utterances and hours by language are logged.
    Raises:
      CorpusError: for what cannot be joined: fewer than two corpora, a missing manifest, another sampling rate, a cut
        without text or language, an id that occurs twice.
    """
    if len(set(corpora)) < max(2, len(corpora)) or corpus in corpora:
        raise CorpusError(f"'{', '.join(corpora)}' cannot be joined to '{corpus}'; name two or more other corpora.")
    for name in (*corpora, corpus, *splits):
        if not name or Path(name).name != name:
            raise CorpusError(
                f"'{name}' is no name of a corpus or a split: manifests lie in {folder}; give a name alone."
            )
    split_of: Dict[str, str] = {}
    return {split: _join_split(folder, corpora, corpus, split, split_of) for split in splits}


def _join_split(
    folder: PathLike, corpora: Sequence[str], corpus: str, split: str, split_of: Dict[str, str]
) -> SplitFigures:
    seconds: Dict[str, float] = collections.defaultdict(float)
    numbers: Dict[str, int] = collections.Counter()

    def counted() -> Iterator[MonoCut]:
        for cut in joined_cuts(folder, corpora, split):
            if split_of.setdefault(cut.id, split) != split:
                raise CorpusError(f"cut id {cut.id} is in {split_of[cut.id]} and in {split}; rename one of the two.")
            language = str(language_of(cut))
            seconds[language] += cut.duration
            numbers[language] += 1
            yield cut

    figures = write_split(folder, corpus, split, counted(), required=("text", "language"))
    said = ", ".join(f"{name} {numbers[name]} ({hours_text(seconds[name] / 3600)} h)" for name in sorted(numbers))
    LOG.info(f"{split} by language: {said}")
    return figures
