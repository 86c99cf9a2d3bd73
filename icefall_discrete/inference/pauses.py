"""Long audio is divided where it is quietest, so that no word is cut while there is a pause to cut in.

All segments together are the audio, sample for sample: nothing is thrown away that might have been speech. Ready
detectors were looked at: those that only compare the energy with a fixed threshold cut a word when no pause comes in
time, and the neural ones download a model.
"""

import collections
import itertools
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

FRAME_SEC = 0.01
MIN_SEGMENT_SEC = 1.0
# Loudness is counted from this far below the loudest frame: what is quieter is silence.
RANGE_DB = 50.0
# A cut costs the greatest loudness around it, averaged over these spans: a closure of [p] is quiet on the first only.
SPANS_SEC = (0.1, 0.2, 0.4, 0.8)
# What a cut costs in silence, in dB: fewer, longer segments are preferred where all pauses are equally quiet.
CUT_COST_DB = 5.0


def split_at_pauses(samples: Tensor, sample_rate_hz: int, max_segment_sec: float) -> List[Tuple[int, int]]:
    """Divide audio into segments of MIN_SEGMENT_SEC to `max_segment_sec` seconds with the quietest cuts there can be.

    The cuts minimise the sum of their costs over all divisions with such segments (dynamic programming, O(S)).

    Args:
      samples: (S,) float. max_segment_sec: at least 2 MIN_SEGMENT_SEC.
    Returns:
      The segments as pairs (start, end) of samples, in order and without gaps; one if the audio is short enough.
    Raises:
      ValueError: if `max_segment_sec` is too small.
    """
    if max_segment_sec < 2 * MIN_SEGMENT_SEC:
        raise ValueError(f"max_segment_sec is {max_segment_sec}, expected at least {2 * MIN_SEGMENT_SEC}.")
    size, limit = samples.numel(), round(max_segment_sec * sample_rate_hz)
    if size <= limit:
        return [(0, size)]
    hop = round(FRAME_SEC * sample_rate_hz)
    costs = _cut_costs(samples, hop)
    shortest, longest = round(MIN_SEGMENT_SEC / FRAME_SEC), limit // hop
    cuts = _cheapest_cuts(costs, shortest, longest)
    edges = [0, *(cut * hop for cut in cuts), size]
    return list(itertools.pairwise(edges))


def _cut_costs(samples: Tensor, hop: int) -> List[float]:
    """Cost in dB of a cut at the beginning of each frame of `hop` samples."""
    frames = F.pad(samples.float(), (0, -samples.numel() % hop)).reshape(-1, hop)
    power = frames.square().mean(dim=1)
    loudness = 10 * (power / power.max().clamp(min=1e-20)).clamp(min=10 ** (-RANGE_DB / 10)).log10() + RANGE_DB
    total = torch.full_like(loudness, CUT_COST_DB)
    for span in SPANS_SEC:
        reach = round(span / FRAME_SEC) // 2
        # Frames t - reach to t + reach - 1 lie around the beginning of frame t.
        around = F.pad(loudness, (reach, reach - 1))[None, None]
        total += F.max_pool1d(around, 2 * reach, stride=1)[0, 0] / len(SPANS_SEC)
    return total.tolist()


def _cheapest_cuts(costs: List[float], shortest: int, longest: int) -> List[int]:
    """Frames to cut at, so that segments have `shortest` to `longest` frames and the costs have the least sum."""
    num_frames = len(costs)
    infinite = float("inf")
    total, came_from = [infinite] * (num_frames + 1), [0] * (num_frames + 1)
    total[0] = 0.0
    # Starts that the segment ending at `end` may have, those with a smaller total to come first.
    starts: collections.deque = collections.deque()
    for end in range(shortest, num_frames + 1):
        start = end - shortest
        if total[start] < infinite:
            while starts and total[starts[-1]] >= total[start]:
                starts.pop()
            starts.append(start)
        while starts and starts[0] < end - longest:
            starts.popleft()
        if starts:
            came_from[end] = starts[0]
            total[end] = total[starts[0]] + (costs[end] if end < num_frames else 0.0)
    cuts = []
    cut = came_from[num_frames]
    while cut > 0:
        cuts.append(cut)
        cut = came_from[cut]
    return cuts[::-1]
