"""What a search finds."""

from dataclasses import dataclass
from typing import List

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """One transcript: labels, the encoder frame (from 0) each was emitted on, and the log-probability in nats."""

    labels: List[int]
    timestamps: List[int]
    score: float


def initial_context(num: int, context_size: int, blank_id: int, device: torch.device) -> Tensor:
    """Predictor input (num, context_size) before the first label; -1 stands for nothing at all."""
    context = torch.full((num, context_size), -1, dtype=torch.int64, device=device)
    context[:, -1] = blank_id
    return context


def check_encoder_output(encoder_out: Tensor, encoder_lens: Tensor) -> List[int]:
    """Lengths as a list, after checking that encoder_out is (N, T', D) and that they fit."""
    if encoder_out.dim() != 3 or encoder_lens.shape != encoder_out.shape[:1]:
        raise ValueError(
            f"a search takes encoder_out (N, T', D) and encoder_lens (N,), got {tuple(encoder_out.shape)} and "
            f"{tuple(encoder_lens.shape)}."
        )
    lens = encoder_lens.tolist()
    if lens and (min(lens) < 0 or max(lens) > encoder_out.size(1)):
        raise ValueError(f"encoder_lens {lens} do not fit encoder_out with {encoder_out.size(1)} frames.")
    return lens
