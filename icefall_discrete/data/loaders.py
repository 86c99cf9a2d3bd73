"""Epochs of batches: bucketed by duration, deterministic, resumable at any batch, optionally short utterances first."""

import dataclasses
import itertools
import random
import warnings
from typing import Iterable, Iterator, List, Optional, Tuple

from lhotse import CutSet
from lhotse.dataset.sampling import DynamicBucketingSampler, SimpleCutSampler
from lhotse.dataset.sampling.base import CutSampler
from torch.utils.data import DataLoader, Sampler

from icefall_discrete.config import setting
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.dataset import Batch, BatchDataset, collate
from icefall_discrete.spec import FeatureSpec


@dataclasses.dataclass(frozen=True)
class LoaderConfig:
    """How cuts are grouped into batches."""

    max_duration: float = setting(200.0, "largest total duration of a batch, in seconds of audio")
    num_buckets: int = setting(30, "number of duration buckets; a batch is drawn from one of them")
    shuffle: bool = setting(True, "draw the training batches in random order")
    drop_last: bool = setting(False, "drop batches that a bucket could not fill")
    quadratic_duration: float = setting(0.0, "penalty for long utterances (15-40 s evens out memory); 0: none")
    num_workers: int = setting(0, "processes that read batches ahead; 0: read in the training process")
    curriculum_epochs: int = setting(0, "number of first epochs whose batches come short utterances first")
    curriculum_max_duration: float = setting(0.0, "max_duration in those epochs, in seconds; 0: as max_duration")

    def __post_init__(self) -> None:
        if self.max_duration <= 0:
            raise ValueError(f"max_duration is {self.max_duration}, expected seconds > 0.")
        if self.num_buckets < 1:
            raise ValueError(f"num_buckets is {self.num_buckets}, expected at least 1.")

    def batch_sec(self, epoch: int) -> float:
        """Largest duration of a batch in epoch number `epoch` (from 1), in seconds."""
        return (self.curriculum_max_duration or self.max_duration) if self.is_curriculum(epoch) else self.max_duration

    def is_curriculum(self, epoch: int) -> bool:
        """Whether epoch number `epoch` (from 1) comes short utterances first."""
        return epoch <= self.curriculum_epochs


class _SamplerBase(Sampler):
    """Stands for torch's Sampler under lhotse's, which calls its constructor without the argument of torch 1."""

    def __init__(self) -> None:
        """Do nothing, as torch's own constructor does."""


class _SimpleSampler(SimpleCutSampler, _SamplerBase):
    """lhotse's SimpleCutSampler for torch 1 and 2."""


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
            cuts,
            max_duration=config.max_duration,
            num_buckets=num_buckets,
            shuffle=config.shuffle,
            drop_last=config.drop_last,
            quadratic_duration=config.quadratic_duration or None,
            seed=seed,
        )


def epoch_sampler(cuts: CutSet, config: LoaderConfig, epoch: int, seed: int) -> CutSampler:
    """The lhotse sampler of one epoch; the same arguments give the same batches. Rank and world size are torch's."""
    if config.is_curriculum(epoch):
        return _SimpleSampler(
            _sorted_by_duration(cuts, longest_first=False), max_duration=config.batch_sec(epoch), shuffle=False
        )
    num_buckets = config.num_buckets
    if not cuts.is_lazy:
        items = list(cuts)
        if config.shuffle:
            random.Random(f"{seed},{epoch}").shuffle(items)
        cuts = CutSet.from_cuts(items)
        num_buckets = min(num_buckets, len(items) // 2)
    if num_buckets < 2:
        sampler = _SimpleSampler(
            cuts, max_duration=config.max_duration, shuffle=config.shuffle, drop_last=config.drop_last, seed=seed
        )
    else:
        sampler = _bucketing_sampler(cuts, config, num_buckets, seed)
    sampler.set_epoch(epoch)
    return sampler


def count_batches(cuts: CutSet, config: LoaderConfig, epoch: int, seed: int) -> int:
    """Number of batches of an epoch, found by drawing them without reading codes (about 0.1 ms a cut)."""
    return sum(1 for _ in epoch_sampler(cuts, config, epoch, seed))


class _Plan:
    """An iterable of (batch index, cuts) in the form in which torch's DataLoader takes a sampler."""

    def __init__(self, items: Iterable[Tuple[int, CutSet]]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Tuple[int, CutSet]]:
        return iter(self._items)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def make_epoch_batches(
    cuts: CutSet,
    config: LoaderConfig,
    spec: FeatureSpec,
    augment: Optional[AugmentConfig],
    epoch: int,
    seed: int,
    start_batch: int = 0,
) -> Iterator[Batch]:
    """Yield the training batches of one epoch.

    Deterministic: (seed, epoch) give the same batches, with any number of workers; with `start_batch` b they are those
    of the whole epoch without its first b (which are drawn, but neither read nor augmented).

    Args:
      cuts: training cuts with codes or features. config: how to group them. spec: what they hold.
      augment: augmentation settings, or None. epoch: number from 1. seed: of order and augmentation.
      start_batch: number of batches to leave out at the start, when an epoch is resumed.
    Yields:
      Batches as data/dataset.py describes them.
    """
    sampler = epoch_sampler(cuts, config, epoch, seed)
    plan = itertools.islice(enumerate(sampler), start_batch, None)
    dataset = BatchDataset(spec, augment, seed, epoch, rank=sampler.rank)
    if config.num_workers == 0:
        for item in plan:
            yield dataset[item]
        return
    yield from DataLoader(
        dataset, batch_size=None, sampler=_Plan(plan), num_workers=config.num_workers, collate_fn=_as_it_is
    )


def make_test_batches(cuts: CutSet, config: LoaderConfig, spec: FeatureSpec) -> Iterator[Batch]:
    """Yield each cut once, not augmented, longest first: the batch that needs most memory comes at once."""
    ordered = _sorted_by_duration(cuts, longest_first=True)
    group: List = []
    for cut in ordered:
        # All are padded to the first, longest one.
        if group and (len(group) + 1) * group[0].duration > config.max_duration:
            yield collate(CutSet.from_cuts(group), spec)
            group = []
        group.append(cut)
    if group:
        yield collate(CutSet.from_cuts(group), spec)
