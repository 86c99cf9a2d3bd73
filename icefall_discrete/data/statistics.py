"""Mean and deviation of continuous training features, from a bounded sample."""

import itertools
import random
from typing import Tuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_frames
from icefall_discrete.data.loaders import Cuts
from icefall_discrete.data.shar import KeptCuts


def feature_statistics(cuts: Cuts, spec: FeatureSpec, num_cuts: int, seed: int) -> Tuple[Tensor, Tensor]:
    """Mean (D,) and standard deviation (D,) over all frames of `num_cuts` random cuts (of all, if there are fewer).

    Sums in float64; the same cuts and seed give the same numbers.
    """
    # What Shar gives is shuffled, and is not all held in memory.
    chosen = list(itertools.islice(cuts.of_epoch(0, seed), num_cuts)) if isinstance(cuts, KeptCuts) else list(cuts)
    if len(chosen) > num_cuts:
        chosen = random.Random(seed).sample(chosen, num_cuts)
    total = torch.zeros(spec.feature_dim, dtype=torch.float64)
    squares = torch.zeros_like(total)
    count = 0
    for cut in chosen:
        frames = torch.from_numpy(load_frames(cut, spec)).to(torch.float64)
        total += frames.sum(dim=0)
        squares += frames.square().sum(dim=0)
        count += len(frames)
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=0.0).sqrt().float()
