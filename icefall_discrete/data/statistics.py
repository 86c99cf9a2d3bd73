"""Mean and deviation of continuous training features, and some of their frames, from a bounded sample."""

import itertools
import random
from typing import List, Tuple

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_frames
from icefall_discrete.data.loaders import Cuts
from icefall_discrete.data.shar import KeptCuts


def _some_of(cuts: Cuts, num_cuts: int, seed: int) -> List[Cut]:
    # What Shar gives is shuffled, and is not all held in memory.
    chosen = list(itertools.islice(cuts.of_epoch(0, seed), num_cuts)) if isinstance(cuts, KeptCuts) else list(cuts)
    return random.Random(seed).sample(chosen, num_cuts) if len(chosen) > num_cuts else chosen


def sampled_frames(cuts: Cuts, spec: FeatureSpec, num_cuts: int, num_frames: int, seed: int) -> Tensor:
    """At most `num_frames` frames (M, D) float32 of `num_cuts` random cuts, drawn evenly."""
    rows = [torch.from_numpy(load_frames(cut, spec)).float() for cut in _some_of(cuts, num_cuts, seed)]
    frames = torch.cat(rows)
    if len(frames) <= num_frames:
        return frames
    return frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))[:num_frames]]


def feature_statistics(cuts: Cuts, spec: FeatureSpec, num_cuts: int, seed: int) -> Tuple[Tensor, Tensor]:
    """Mean (D,) and standard deviation (D,) over all frames of `num_cuts` random cuts (of all, if there are fewer).

    Sums in float64; the same cuts and seed give the same numbers.
    """
    total = torch.zeros(spec.feature_dim, dtype=torch.float64)
    squares = torch.zeros_like(total)
    count = 0
    for cut in _some_of(cuts, num_cuts, seed):
        frames = torch.from_numpy(load_frames(cut, spec)).to(torch.float64)
        total += frames.sum(dim=0)
        squares += frames.square().sum(dim=0)
        count += len(frames)
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=0.0).sqrt().float()
