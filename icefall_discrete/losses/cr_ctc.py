"""Consistency between the CTC posteriors of two views of the same utterances: CR-CTC, https://arxiv.org/abs/2410.05101.

Each view is masked in other places and passes through the network with other dropout; each learns from the other as a
teacher in the same place, so that what one view cannot see is supervised by what the other does.
"""

from typing import Any, Tuple

import torch
from torch import Tensor

NUM_VIEWS = 2


class _Consistency(torch.autograd.Function):
    """Half the sum over units of KL(second || first) + KL(first || second), each target without a gradient."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        # KL(q || p) + KL(p || q) = sum (p - q) (log p - log q).
        difference = first.exp() - second.exp()
        ctx.save_for_backward(first, second)
        return 0.5 * (difference * (first - second)).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, Tensor]:
        first, second = ctx.saved_tensors
        half = -0.5 * grad.unsqueeze(-1)
        return half * second.exp(), half * first.exp()


def consistency_loss(log_probs: Tensor, frame_lens: Tensor) -> Tensor:
    """Symmetric divergence of two views, summed over the frames of each utterance, (N,) in nats.

    1/2 sum_t [ KL(sg(b_t) || a_t) + KL(sg(a_t) || b_t) ], sg: no gradient.

    Args:
      log_probs: (2 N, T, V) normalised, the first view of all utterances, then the second of all.
      frame_lens: (2 N,), equal in both views.
    """
    first, second = log_probs.chunk(NUM_VIEWS)
    by_frame = _Consistency.apply(first, second)
    outside = torch.arange(by_frame.shape[1], device=by_frame.device) >= frame_lens[: len(first)].unsqueeze(1)
    return by_frame.masked_fill(outside, 0.0).sum(dim=1)


def mean_of_views(losses: Tensor, num_views: int) -> Tensor:
    """Mean over the views of losses (num_views N,), (N,); one view is returned as it is."""
    return losses if num_views == 1 else losses.view(num_views, -1).mean(dim=0)
