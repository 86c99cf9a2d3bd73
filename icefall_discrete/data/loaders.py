"""Epochs of batches: bucketed by duration, deterministic, resumable at any batch, optionally short utterances first."""

import collections
import dataclasses
import functools
import itertools
import logging
import math
import random
import warnings
from typing import Callable, Deque, Dict, Iterable, Iterator, List, Optional, Tuple, TypeVar, Union

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset.sampling import DynamicBucketingSampler, SimpleCutSampler
from lhotse.dataset.sampling.base import CutSampler
from torch.utils.data import DataLoader, Sampler

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.crops import cropped
from icefall_discrete.data.dataset import Batch, BatchDataset, Completion, collate, complete
from icefall_discrete.data.facts import facts_of, text_fact
from icefall_discrete.data.language_sampling import drawn_cuts, mixed_cuts
from icefall_discrete.data.mixing import has_mixed_in, mixed_epoch
from icefall_discrete.data.shar import KeptCuts

LOG = logging.getLogger(__name__)
Item = TypeVar("Item")
Cuts = Union[CutSet, KeptCuts]


@dataclasses.dataclass(frozen=True)
class LoaderConfig:
    """How cuts are grouped into batches."""

    max_duration: float = setting(200.0, "largest total duration of a batch, in seconds of audio", above=0)
    max_cuts: int = setting(0, "most utterances in a training batch, whatever their duration; 0: no limit", minimum=0)
    num_buckets: int = setting(30, "number of duration buckets; a batch is drawn from one of them", minimum=1)
    shuffle: bool = setting(True, "draw the training batches in random order")
    drop_last: bool = setting(False, "drop batches that a bucket could not fill")
    quadratic_duration: float = setting(
        0.0, "penalty for long utterances (15-40 s evens out memory); 0: none", minimum=0
    )
    num_workers: int = setting(0, "processes that read batches ahead; 0: read in the training process", minimum=0)
    curriculum_epochs: int = setting(0, "number of first epochs whose batches come short utterances first", minimum=0)
    curriculum_max_duration: float = setting(
        0.0, "max_duration in those epochs, in seconds; 0: as max_duration", minimum=0
    )
    language_temperature: float = setting(
        1.0,
        "T: a language with h of H hours is drawn with (h/H)^(1/T), normalised; 1: each cut once an epoch",
        minimum=0.01,
    )
    pseudo_share: float = setting(
        0.0,
        "share of an epoch's audio that has pseudo-labels, which stays as long; 0: each cut once an epoch",
        minimum=0,
        maximum=1,
    )

    mux_weights: Tuple[float, ...] = setting(
        (), "how often an utterance is drawn of the corpus, and of one that is mixed in; none: as they have", above=0
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.mux_weights) not in (0, 2):
            raise ValueError(
                f"mux_weights is {list(self.mux_weights)}, expected two numbers, such as 0.5,0.5, or none."
            )
        if self.pseudo_share and self.language_temperature != 1.0:
            raise ValueError(
                f"pseudo_share is {self.pseudo_share:g} and language_temperature {self.language_temperature:g}: an "
                "epoch is drawn by one of the two; set pseudo_share to 0 or language_temperature to 1."
            )

    @property
    def longest_sec(self) -> float:
        """Seconds of each utterance that an epoch trains on at most: of a longer one, a part that `cropped` chooses."""
        return math.inf

    def batch_sec(self, epoch: int) -> float:
        """Largest duration of a batch in epoch number `epoch` (from 1), in seconds."""
        return (self.curriculum_max_duration or self.max_duration) if self.is_curriculum(epoch) else self.max_duration

    def is_curriculum(self, epoch: int) -> bool:
        """Whether epoch number `epoch` (from 1) comes short utterances first."""
        return epoch <= self.curriculum_epochs


@dataclasses.dataclass(frozen=True)
class CropLoaderConfig(LoaderConfig):
    """How cuts are grouped into batches, whole or in part: a class is that of every part of an utterance."""

    crop_sec: float = setting(
        0.0,
        "train on a random part of so many seconds of each longer utterance, another in each epoch; 0: on all of it",
        minimum=0,
    )

    @property
    def longest_sec(self) -> float:
        """See LoaderConfig."""
        return self.crop_sec or math.inf


def _do_nothing(sampler: Sampler) -> None:
    """As torch's own constructor of samplers."""


class _SamplerBase(Sampler):
    """Stands for torch's Sampler under lhotse's, which calls its constructor without the argument of torch 1."""

    # Where a type checker sees no types of lhotse, it takes this for the constructor of lhotse's samplers.
    __init__: Callable[..., None] = _do_nothing


class _SimpleSampler(SimpleCutSampler, _SamplerBase):
    """lhotse's SimpleCutSampler for torch 1 and 2, with the penalty for long utterances."""

    def __init__(self, cuts: CutSet, config: LoaderConfig, max_duration: float, shuffle: bool, seed: int = 0) -> None:
        super().__init__(
            cuts,
            max_duration=max_duration,
            max_cuts=config.max_cuts or None,
            shuffle=shuffle,
            drop_last=config.drop_last,
            seed=seed,
        )
        self.time_constraint.quadratic_duration = config.quadratic_duration or None


class _Begun:
    """Cuts that are read in sequence, and the first of which are asked for twice: the second time they are the same.

    lhotse finds the bounds of its buckets in the durations of the first cuts, then fills the buckets with the same
    ones. A pass that stops early leaves its cuts to the next one, which lets go of each as it gives it away; whatever
    comes later reads anew.
    """

    def __init__(self, cuts: CutSet) -> None:
        self._cuts = cuts
        self._first: Optional[Deque[Cut]] = collections.deque()
        self._rest: Iterator[Cut] = iter(cuts)

    def __iter__(self) -> Iterator[Cut]:
        first, self._first = self._first, None
        if first is None:
            yield from self._cuts
        elif not first:
            yield from self._noting(first)
        else:
            while first:
                yield first.popleft()
            yield from self._rest

    def _noting(self, first: Deque[Cut]) -> Iterator[Cut]:
        self._first = first
        for cut in self._rest:
            first.append(cut)
            yield cut


class _BucketingSampler(DynamicBucketingSampler, _SamplerBase):
    """lhotse's DynamicBucketingSampler for torch 1 and 2."""


def _sorted_by_duration(cuts: CutSet, longest_first: bool) -> CutSet:
    # Ties are broken by the id, so that the order of the manifest does not matter.
    return CutSet.from_cuts(sorted(cuts, key=lambda cut: (cut.duration, cut.id), reverse=longest_first))


def _bucketing_sampler(cuts: CutSet, config: LoaderConfig, num_buckets: int, seed: int) -> CutSampler:
    with warnings.catch_warnings():
        # lhotse recommends lazy manifests here; with one in memory an epoch is shuffled as a whole, which is better.
        warnings.filterwarnings("ignore", message="You are using DynamicBucketingSampler with an eagerly read CutSet")
        # sync_buckets stays on: lhotse 1.33 ends an epoch early, and loses cuts, without it.
        return _BucketingSampler(
            CutSet(_Begun(cuts)) if cuts.is_lazy else cuts,
            max_duration=config.max_duration,
            max_cuts=config.max_cuts or None,
            num_buckets=num_buckets,
            shuffle=config.shuffle,
            drop_last=config.drop_last,
            quadratic_duration=config.quadratic_duration or None,
            seed=seed,
        )


def epoch_cuts(cuts: Cuts, config: LoaderConfig, epoch: int, seed: int) -> CutSet:
    """The cuts of an epoch, not in order: all of them, or as many hours, drawn by language or by kind of label.

    Where the settings ask for crops, long ones are parts of themselves.
    """
    if isinstance(cuts, KeptCuts):
        cuts = cuts.of_epoch(epoch, seed)
        if config.is_curriculum(epoch):
            raise ValueError(
                f"curriculum_epochs is {config.curriculum_epochs}, but cuts that are read from Shar in sequence cannot "
                "be sorted by duration; set it to 0, or train from the manifest."
            )
    if not cuts.is_lazy and has_mixed_in(cuts):
        cuts = mixed_epoch(cuts, config.mux_weights, epoch, seed)
    if config.language_temperature != 1.0:
        cuts = drawn_cuts(cuts, config.language_temperature, epoch, seed)
    elif config.pseudo_share:
        cuts = mixed_cuts(cuts, config.pseudo_share, epoch, seed)
    if config.longest_sec == math.inf:
        return cuts
    crop = functools.partial(cropped, longest_sec=config.longest_sec, epoch=epoch, seed=seed)
    return cuts.map(crop) if cuts.is_lazy else CutSet.from_cuts([crop(cut) for cut in cuts])


def epoch_sampler(cuts: Cuts, config: LoaderConfig, epoch: int, seed: int) -> CutSampler:
    """The lhotse sampler of one epoch; the same arguments give the same batches. Rank and world size are torch's."""
    cuts = epoch_cuts(cuts, config, epoch, seed)
    if config.is_curriculum(epoch):
        return _SimpleSampler(
            _sorted_by_duration(cuts, longest_first=False), config, config.batch_sec(epoch), shuffle=False
        )
    num_buckets = config.num_buckets
    if not cuts.is_lazy:
        items = list(cuts)
        if config.shuffle:
            random.Random(f"{seed},{epoch}").shuffle(items)
        cuts = CutSet.from_cuts(items)
        num_buckets = min(num_buckets, len(items) // 2)
    if num_buckets < 2:
        sampler = _SimpleSampler(cuts, config, config.max_duration, config.shuffle, seed)
    else:
        sampler = _bucketing_sampler(cuts, config, num_buckets, seed)
    sampler.set_epoch(epoch)
    return sampler


def count_batches(cuts: Cuts, config: LoaderConfig, epoch: int, seed: int) -> int:
    """Number of batches of an epoch, found by drawing them without reading codes (about 0.1 ms a cut)."""
    return sum(1 for _ in epoch_sampler(cuts, config, epoch, seed))


def report_long_cuts(cuts: Cuts, config: LoaderConfig) -> List[str]:
    """Log and return the ids of the cuts that a batch cannot hold: each becomes a batch of its own, whatever it needs.

    The limit is the smaller of `max_duration` and that of the curriculum, with the quadratic penalty.
    """
    limit = min(config.max_duration, config.batch_sec(1))
    penalty = 1.0 / config.quadratic_duration if config.quadratic_duration else 0.0
    longest = config.longest_sec
    long = [cut for cut in cuts if min(cut.duration, longest) * (1.0 + penalty * min(cut.duration, longest)) > limit]
    if long:
        longest = max(long, key=lambda cut: cut.duration)
        LOG.warning(
            "%d of %d cuts are too long for a batch of %g s and are batches of their own; the longest is %s with "
            "%.1f s. If memory does not suffice for it, lower --max-utterance-sec.",
            *(len(long), len(cuts), limit, longest.id, longest.duration),
        )
    return [cut.id for cut in long]


# What can be largest about a batch: name -> size from the number of cuts, the longest of them, and the longest text.
_SIZES: Dict[str, Callable[[int, float, int], float]] = {
    "most padded audio": lambda num_cuts, longest_sec, text_len: num_cuts * longest_sec,
    "longest attention": lambda num_cuts, longest_sec, text_len: num_cuts * longest_sec**2,
    "largest lattice": lambda num_cuts, longest_sec, text_len: num_cuts * longest_sec * text_len,
}


def largest_batches(
    cuts: Cuts, config: LoaderConfig, spec: FeatureSpec, seed: int, completion: Completion = complete
) -> Iterator[Tuple[str, Batch]]:
    """Yield the training batches that need most memory, each once, with what is largest about it; not augmented.

    They are looked for in the first epoch and in the first one after the curriculum, without reading codes.
    """
    largest: Dict[str, Tuple[float, CutSet]] = {}
    for epoch in sorted({1, config.curriculum_epochs + 1}):
        for batch in epoch_sampler(cuts, config, epoch, seed):
            longest_sec = max(cut.duration for cut in batch)
            text_len = max(len(text_fact(facts_of(cut), "text") or "") for cut in batch)
            for name, size_of in _SIZES.items():
                size = size_of(len(batch), longest_sec, text_len)
                if size > largest.get(name, (0.0,))[0]:  # without text there is no lattice
                    largest[name] = (size, batch)
    names: Dict[Tuple[str, ...], List[str]] = {}
    batches = {tuple(cut.id for cut in batch): batch for _, batch in largest.values()}
    for name, (_, batch) in largest.items():
        names.setdefault(tuple(cut.id for cut in batch), []).append(name)
    for ids, batch in batches.items():
        yield " and ".join(names[ids]), completion(batch, collate(batch, spec))


class _Plan:
    """An iterable of (batch index, cuts) in the form in which torch's DataLoader takes a sampler."""

    def __init__(self, items: Iterable[Tuple[int, CutSet]]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Tuple[int, CutSet]]:
        return iter(self._items)


def _as_it_is(batch: Item) -> Item:
    return batch


def make_epoch_batches(
    cuts: Cuts, config: LoaderConfig, dataset: BatchDataset, start_batch: int = 0
) -> Iterator[Batch]:
    """Yield the training batches of one epoch.

    Deterministic: seed and epoch of the dataset give the same batches, with any number of workers; with `start_batch` b
    they are those of the whole epoch without its first b (which are drawn, but neither read nor augmented).

    Args:
      cuts: training cuts with codes or features. config: how to group them.
      dataset: what makes a batch of some of them; its epoch and seed are those of the order too.
      start_batch: number of batches to leave out at the start, when an epoch is resumed.
    Yields:
      Batches as data/dataset.py describes them.
    """
    sampler = epoch_sampler(cuts, config, dataset.epoch, dataset.seed)
    # Numbered over all processes: a batch is augmented in the same way however many there are.
    numbered = ((index * sampler.world_size + sampler.rank, batch) for index, batch in enumerate(sampler))
    plan = itertools.islice(numbered, start_batch, None)
    if config.num_workers == 0:
        for item in plan:
            yield dataset[item]
        return
    yield from DataLoader(
        dataset, batch_size=None, sampler=_Plan(plan), num_workers=config.num_workers, collate_fn=_as_it_is
    )


def padded_groups(items: Iterable[Item], sec_of: Callable[[Item], float], max_duration: float) -> Iterator[List[Item]]:
    """Divide `items`, longest first, into batches of at most `max_duration` seconds, padding included (or one item).

    Args:
      items: in descending order of `sec_of`, so that a batch is padded to its first. sec_of: seconds of an item.
    """
    group: List[Item] = []
    for item in items:
        if group and (len(group) + 1) * sec_of(group[0]) > max_duration:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def make_test_batches(
    cuts: CutSet, config: LoaderConfig, spec: FeatureSpec, completion: Completion = complete
) -> Iterator[Batch]:
    """Yield each cut once, not augmented, longest first: the batch that needs most memory comes at once."""
    ordered = _sorted_by_duration(cuts, longest_first=True)
    for group in padded_groups(ordered, lambda cut: cut.duration, config.max_duration):
        batch = CutSet.from_cuts(group)
        yield completion(batch, collate(batch, spec))
