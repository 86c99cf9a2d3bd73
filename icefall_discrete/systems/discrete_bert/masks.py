"""Which frames are hidden from Discrete BERT, and what stands in their place.

Baevski, Schneider and Auli 2020 (https://arxiv.org/abs/1910.05453): each frame begins a span of 10 hidden ones with
probability 0.05, and spans may overlap; as fairseq draws them, the number of beginnings is 0.05 T, rounded down or up
at random, and their places are drawn without replacement. Of the hidden frames a tenth keep their codes, and a tenth
have other codes, as in BERT (https://arxiv.org/abs/1810.04805).
"""

import dataclasses
from typing import Tuple

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


@dataclasses.dataclass(frozen=True)
class MaskConfig(SpanConfig):
    """Spans of hidden frames, and what is shown in their place."""

    kept_share: float = setting(0.1, "share of the hidden frames that keep their codes", minimum=0, maximum=1)
    random_share: float = setting(0.1, "share of the hidden frames that have random codes", minimum=0, maximum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kept_share + self.random_share > 1:
            raise ValueError(
                f"kept_share {self.kept_share:g} and random_share {self.random_share:g} together are above 1."
            )


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


def what_is_shown(
    codes: Tensor, hidden: Tensor, sizes: Tensor, config: MaskConfig, generator: torch.Generator
) -> Tuple[Tensor, Tensor]:
    """Codes (T, K) as they are shown, some of them random, and which frames (T,) show the mask and no codes at all.

    Args:
      codes: of an utterance. hidden: (T,) bool. sizes: (K,) of the codebooks.
    """
    lot = torch.rand(len(codes), generator=generator)
    others = (torch.rand(codes.shape, generator=generator) * sizes).long()
    is_random = hidden & (lot < config.random_share)
    is_kept = hidden & (lot >= config.random_share) & (lot < config.random_share + config.kept_share)
    return torch.where(is_random.unsqueeze(1), others, codes), hidden & ~is_random & ~is_kept
