"""Which frames are hidden, from systems that learn to find them or to tell them from others.

Baevski, Schneider and Auli 2020 (https://arxiv.org/abs/1910.05453): each frame begins a span of 10 hidden ones with
probability 0.05, and spans may overlap; as fairseq draws them, the number of beginnings is 0.05 T, rounded down or up
at random, and their places are drawn without replacement.
"""

import dataclasses
from typing import Sequence

import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, setting

# Fewer hidden frames tell nothing; as few must be left to be seen.
LEAST = 2


@dataclasses.dataclass(frozen=True)
class SpanConfig:
    """Spans of hidden frames."""

    start_prob: float = setting(0.05, "share of the frames that begin a hidden span", above=0, maximum=1)
    length: int = setting(10, "frames of a hidden span, which the end of the utterance may cut short", minimum=1)
    length_deviation: float = setting(
        0.0,
        "standard deviation of that (arXiv 1911.03912: 10), rounded, at least one frame; 0: all are equal",
        minimum=0,
    )

    def __post_init__(self) -> None:
        check_settings(self)


def hidden_frames(num_frames: int, config: SpanConfig, generator: torch.Generator) -> Tensor:
    """Which of T frames are hidden, (T,) bool.

    Where this leaves fewer than two frames hidden or seen, as in short utterances, a stretch of half of the frames is
    hidden instead; fewer than four frames have none.
    """
    hidden = torch.zeros(num_frames, dtype=torch.bool)
    if num_frames < 2 * LEAST:
        return hidden
    count = int(config.start_prob * num_frames + float(torch.rand((), generator=generator)))
    starts = torch.randperm(num_frames, generator=generator)[:count]
    lengths = torch.full((len(starts),), config.length)
    if config.length_deviation:
        drawn = config.length + config.length_deviation * torch.randn(len(starts), generator=generator)
        lengths = drawn.round().long().clamp(min=1)
    for start, length in zip(starts.tolist(), lengths.tolist()):
        hidden[start : start + length] = True
    if not LEAST <= int(hidden.sum()) <= num_frames - LEAST:
        half = num_frames // 2
        start = int(torch.randint(num_frames - half + 1, (), generator=generator))
        hidden[:] = False
        hidden[start : start + half] = True
    return hidden


def spans_of(lens: Sequence[int], names: Sequence[str], config: SpanConfig, seeds: Sequence[int]) -> Tensor:
    """Which frames (N, T) are hidden of utterances of `lens` frames, of each as its seed says.

    Raises:
      ValueError: if no utterance has frames enough to hide two and show two; one is named.
    """
    hidden = torch.zeros(len(lens), max(lens), dtype=torch.bool)
    for row, (length, seed) in enumerate(zip(lens, seeds)):
        hidden[row, :length] = hidden_frames(length, config, torch.Generator().manual_seed(seed))
    if not hidden.any():
        raise ValueError(
            f"cut {names[0]}: {lens[0]} frames, of which fewer than {LEAST} can be hidden while as many are seen, and "
            "no other of its batch has more; raise --min-utterance-sec."
        )
    return hidden
