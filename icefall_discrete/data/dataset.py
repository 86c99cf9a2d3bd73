"""Cuts -> batches: a dict of padded codes or features, their lengths, ids, and what is known of them."""

import hashlib
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from lhotse import CutSet
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig, augment_frames, augment_views
from icefall_discrete.data.cuts import load_frames
from icefall_discrete.data.facts import Facts, facts_of

Batch = Dict[str, Any]
# Other codes for those of an utterance, drawn with a seed.
Resegment = Callable[[Sequence[int], int], List[int]]
# What a system's batches hold besides: made from the cuts and what `collate` made of them; picklable.
Completion = Callable[[CutSet, Batch], Batch]
# The batch entry with a second view of the frames, augmented in another way, for CR-CTC.
OTHER_VIEW = "other_view"


def batch_key(spec: FeatureSpec) -> str:
    """Name of the batch entry that holds the frames: `codes` or `features`."""
    return "codes" if spec.kind == "codes" else "features"


def padding_values(spec: FeatureSpec) -> Tuple[float, ...]:
    """What fills a frame that is padded or masked: the K padding ids, or 0.0 in each of the D dimensions."""
    return spec.pad_ids if spec.kind == "codes" else (0.0,) * spec.feature_dim


def complete(cuts: CutSet, batch: Batch) -> Batch:
    """The batch as it is: the Completion of systems that need no more than `collate` gives."""
    return batch


def collate(cuts: CutSet, spec: FeatureSpec, changed: Optional[Callable[[str, Tensor], Tensor]] = None) -> Batch:
    """Read the cuts' frames and pad them into one batch.

    Args:
      cuts: with frames of `spec`. changed: if given, other frames (T', K) or (T', D) for those (T, K) or (T, D) of
        a cut's id.
    Returns:
      `codes` (N, T, K) int64 padded with the padding ids, or `features` (N, T, D) float32 padded with 0;
      `frame_lens` (N,) int64; `cut_ids`: list of N strings; `text`, `languages`: the same, or None for a cut that has
      none; `facts`: list of N dicts of the other facts (data/facts.py); `duration_sec` (N,) float32.
    Raises:
      ValueError: if a cut has no frames of this spec, or other than K (or D) columns; the cut is named.
    """
    values = padding_values(spec)
    dtype = np.int64 if spec.kind == "codes" else np.float32
    rows: List[np.ndarray] = []
    for cut in cuts:
        frames = load_frames(cut, spec)
        if frames.shape[1] != len(values):
            raise ValueError(
                f"cut {cut.id}: {frames.shape[1]} columns, but {spec.name} promises {len(values)}; extract it again."
            )
        rows.append(frames if changed is None else changed(cut.id, torch.from_numpy(frames.astype(dtype))).numpy())
    frame_lens = [len(row) for row in rows]
    # In numpy: of many short rows, most of the time goes into calls, which cost torch several times as much.
    padded = np.empty((len(rows), max(frame_lens), len(values)), dtype)
    for target, row in zip(padded, rows):
        target[: len(row)] = row
        target[len(row) :] = values
    facts = [facts_of(cut) for cut in cuts]
    return {
        batch_key(spec): torch.from_numpy(padded),
        "frame_lens": torch.tensor(frame_lens, dtype=torch.int64),
        "text": [one.pop("text") for one in facts],
        "languages": [one.pop("language") for one in facts],
        "facts": facts,
        "cut_ids": [cut.id for cut in cuts],
        "duration_sec": torch.tensor([cut.duration for cut in cuts], dtype=torch.float32),
    }


def facts_in(batch: Mapping[str, Any]) -> List[Facts]:
    """The facts of each utterance of a batch; one that was saved before batches held facts has text and language."""
    number = len(batch["cut_ids"])
    rows = zip(batch.get("facts", [{}] * number), batch["text"], batch.get("languages", [None] * number))
    return [{**facts, "text": text, "language": language} for facts, text, language in rows]


def with_views(batch: Batch, spec: FeatureSpec, num_views: int) -> Batch:
    """The batch with its own frames as the second view where `num_views` is 2: of the size that training meets."""
    return batch if num_views == 1 else {**batch, OTHER_VIEW: batch[batch_key(spec)]}


def derived_seed(*parts: int) -> int:
    """A seed of 63 bits from some integers, the same on every machine; nearby integers give unrelated seeds."""
    digest = hashlib.sha256(",".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class BatchDataset(torch.utils.data.Dataset):
    """Map (batch index, cuts) to a batch, augmented with a generator seeded by (seed, epoch, batch index, rank).

    So a batch is the same whichever worker makes it, and whether or not the epoch was interrupted before it.
    Give `augment` None for data that is not augmented. With `num_views` 2, augmented batches hold the frames twice,
    as data/augment.py's two views; the second under OTHER_VIEW. `resegment` draws other codes (T', 1) for those of an
    utterance, which it takes and gives as lists, by a seed made from (seed, epoch, cut id). `completion` adds to a
    batch before it is augmented.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        augment: Optional[AugmentConfig],
        seed: int,
        epoch: int,
        rank: int = 0,
        num_views: int = 1,
        resegment: Optional[Resegment] = None,
        completion: Completion = complete,
    ) -> None:
        self.spec = spec
        self.augment = augment
        self.seed = seed
        self.epoch = epoch
        self.rank = rank
        self.num_views = num_views
        self.resegment = resegment
        self.completion = completion

    def __getitem__(self, item: Tuple[int, CutSet]) -> Batch:
        index, cuts = item
        if self.augment is None or not self.augment.is_on(self.epoch):
            return self.completion(cuts, collate(cuts, self.spec))
        changed = None if self.resegment is None else self._resegmented
        batch = self.completion(cuts, collate(cuts, self.spec, changed))
        key = batch_key(self.spec)
        generator = torch.Generator().manual_seed(derived_seed(self.seed, self.epoch, index, self.rank))
        values, rate = padding_values(self.spec), self.spec.frame_rate_hz
        if self.num_views == 1:
            return {
                **batch,
                key: augment_frames(batch[key], batch["frame_lens"], values, rate, self.augment, generator),
            }
        views = augment_views(batch[key], batch["frame_lens"], values, rate, self.augment, generator)
        return {**batch, key: views[0], OTHER_VIEW: views[1]}

    def _resegmented(self, cut_id: str, frames: Tensor) -> Tensor:
        assert self.resegment is not None
        seed = derived_seed(self.seed, self.epoch, *cut_id.encode())
        return torch.tensor(self.resegment(frames[:, 0].tolist(), seed), dtype=frames.dtype).unsqueeze(1)
