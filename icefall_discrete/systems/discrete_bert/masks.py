"""What is shown of frames that are hidden from Discrete BERT.

Baevski, Schneider and Auli 2020 (https://arxiv.org/abs/1910.05453): of the hidden frames a tenth keep their codes, and
a tenth have other codes, as in BERT (https://arxiv.org/abs/1810.04805). Spans: `../hidden_spans.py`.
"""

import dataclasses
from typing import Tuple

import torch
from torch import Tensor

from icefall_discrete.base.settings import setting
from icefall_discrete.systems.hidden_spans import SpanConfig


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
