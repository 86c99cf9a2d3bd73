"""Batches of utterances without transcripts among those that have some: a training may give them labels itself.

What is not to be used of a transcript is gone before: nothing of it can be learnt, or compared with.
"""

import itertools
from typing import Iterator, List

import torch
from lhotse import CutSet

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import original_id
from icefall_discrete.data.dataset import Batch, BatchDataset
from icefall_discrete.data.loaders import LoaderConfig, count_batches, make_epoch_batches
from icefall_discrete.data.pseudo_labels import without_text

# The entry that a batch without transcripts has.
UNLABELLED = "unlabelled"
# Epochs of those without transcripts within one of the others, at the most.
_MOST_EPOCHS = 10**6


def without_labels(cuts: CutSet, labelled: CutSet) -> CutSet:
    """The cuts whose utterances are not among the labelled ones, copies at other speeds neither, without their text.

    Raises:
      ValueError: if there are none.
    """
    used = {original_id(cut, cut.id) for cut in labelled}
    rest = [without_text(cut) for cut in cuts if original_id(cut, cut.id) not in used]
    if not rest:
        raise ValueError(
            "own_labels.batches_each is above 0, but all training utterances have labels, so that there are none for "
            "the recogniser to label; set label_fraction below 1, or batches_each to 0."
        )
    return CutSet.from_cuts(rest)


def unlabelled_batches(
    cuts: CutSet, config: LoaderConfig, spec: FeatureSpec, seed: int, epoch: int, start: int = 0
) -> Iterator[Batch]:
    """Batches without end, not augmented, of which the first `start` are left out; each epoch draws them anew.

    They count as no audio, since epochs and schedules are counted in what has labels.
    """
    for number in itertools.count(epoch * _MOST_EPOCHS):
        size = count_batches(cuts, config, number, seed)
        dataset = BatchDataset(spec, None, seed, number)
        if not size:
            raise ValueError("the utterances without labels fill no batch; lower max_duration, or set drop_last to 0.")
        if start >= size:
            start -= size
            continue
        for batch in make_epoch_batches(cuts, config, dataset, start):
            yield {**batch, UNLABELLED: True, "duration_sec": torch.zeros_like(batch["duration_sec"])}
        start = 0


def places_of(start: int, each: int) -> List[int]:
    """How many of the first `start` batches have labels, and how many have none, with `each` behind each one."""
    labelled = -(-start // (1 + each))
    return [labelled, start - labelled]


def interleaved(labelled: Iterator[Batch], unlabelled: Iterator[Batch], each: int, start: int) -> Iterator[Batch]:
    """Each batch with labels, and `each` without behind it, from batch number `start` on.

    Both iterators begin where `places_of` says.
    """
    begun = start % (1 + each)
    if begun:
        yield from itertools.islice(unlabelled, 1 + each - begun)
    for batch in labelled:
        yield batch
        yield from itertools.islice(unlabelled, each)
