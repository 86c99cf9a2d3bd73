"""Which utterances are trained on, which are dev and test: as the source says, by speaker, or by the text's digest."""

import collections
import hashlib
from typing import Dict, Mapping, NamedTuple, Sequence

from lhotse import MonoCut

from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.small_corpora import SPLITS, split_of

WAYS = ("auto", "given", "speaker", "text")
_SHARE, _MOST = 0.1, 0.2  # of the hours, that dev and test each shall have, and may have at most
_FEW_TEXTS = 100  # of so few the digests alone could leave a split empty
_HELD_OUT = ("test", "dev")


class Division(NamedTuple):
    """The split of each utterance by its id, and in words how it was found."""

    splits: Dict[str, str]
    told: str


def _by_digest(names: Sequence[str]) -> "list[str]":
    return sorted(set(names), key=lambda name: hashlib.md5(name.encode("utf-8")).hexdigest())


def splits_of_texts(keys: Sequence[str]) -> Dict[str, str]:
    """The split of each normalised text: by its MD5, or where there are few by its place in the order of MD5."""
    ordered = _by_digest(keys)
    if len(ordered) >= _FEW_TEXTS:
        return {key: split_of(key) for key in ordered}
    count = max(1, round(_SHARE * len(ordered)))
    return {key: SPLITS[2 - place // count] if place < 2 * count else "train" for place, key in enumerate(ordered)}


def splits_of_speakers(seconds: Mapping[str, float]) -> Dict[str, str]:
    """The split of each speaker; empty if they are too few, or too unequal, for dev and test of a fitting size.

    In the order of the MD5 of their names, speakers are put into test, then dev, until it has a tenth of the hours; one
    that would make more than a fifth of it is trained on.

    Args:
      seconds: of speech, by speaker.
    """
    total = sum(seconds.values())
    splits, filled = {}, dict.fromkeys(_HELD_OUT, 0.0)
    for name in _by_digest(list(seconds)):
        splits[name] = "train"
        for split in _HELD_OUT:
            if filled[split] < _SHARE * total and filled[split] + seconds[name] <= _MOST * total:
                splits[name], filled[split] = split, filled[split] + seconds[name]
                break
    return splits if min(filled.values()) >= _SHARE / 2 * total else {}


def divide(cuts: Sequence[MonoCut], keys: Mapping[str, str], given: Mapping[str, str], way: str) -> Division:
    """Put utterances into train, dev and test.

    Args:
      keys: normalised text by id. given: the split that the source says, by id. way: one of WAYS; auto: the first of
        given, speaker and text that can be.
    Raises:
      CorpusError: if the way that is asked for cannot be, or a split would be empty.
    """
    known = {given[cut.id] for cut in cuts if cut.id in given}
    if way == "given" or (way == "auto" and {"train"} < known and all(cut.id in given for cut in cuts)):
        return _checked(_as_given(cuts, keys, given))
    seconds: Dict[str, float] = collections.defaultdict(float)
    for cut in cuts:
        seconds[cut.supervisions[0].speaker or ""] += cut.duration
    told = ""
    if way in ("auto", "speaker") and "" not in seconds:
        splits = splits_of_speakers(seconds)
        if splits:
            return _checked(
                Division(
                    {cut.id: splits[cut.supervisions[0].speaker] for cut in cuts},
                    "by speaker: each is in one split; a tenth of the hours each is test and dev, by the MD5 of names",
                )
            )
        told = f"the {len(seconds)} speakers are too few or too unequal to be divided; "
    if way == "speaker":
        raise CorpusError(
            f"no split by speaker: {told or 'some utterances have no speaker; '}give --split-by text, or the speakers."
        )
    by_text = splits_of_texts([keys[cut.id] for cut in cuts])
    return _checked(
        Division(
            {cut.id: by_text[keys[cut.id]] for cut in cuts},
            f"{told}by text: a tenth each is test and dev, by the MD5 of the normalised text; no text is in two splits",
        )
    )


def _as_given(cuts: Sequence[MonoCut], keys: Mapping[str, str], given: Mapping[str, str]) -> Division:
    """The splits of the source; where it has no dev or no test, some of the training texts are taken for it."""
    lacking = [cut.id for cut in cuts if cut.id not in given]
    if lacking:
        raise CorpusError(
            f"--split-by given, but the source says no split of {len(lacking)} utterances, such as {lacking[0]}; name "
            "their splits there, or give --split-by auto."
        )
    splits = {cut.id: given[cut.id] for cut in cuts}
    told = "as the source has them"
    absent = set(_HELD_OUT) - set(splits.values())
    if absent:
        by_text = splits_of_texts([keys[name] for name, split in splits.items() if split == "train"])
        drawn = {name: by_text[keys[name]] for name, split in splits.items() if split == "train"}
        splits.update({name: split for name, split in drawn.items() if split in absent})
        told += f"; {' and '.join(sorted(absent))}: a tenth of the training texts, by their MD5"
    return Division(splits, told)


def _checked(division: Division) -> Division:
    empty = sorted(set(SPLITS) - set(division.splits.values()))
    if empty:
        raise CorpusError(
            f"no utterance is left for {' and '.join(empty)} ({division.told}); at least three different texts are "
            "needed, or other splits: --split-by given, speaker or text."
        )
    return division
