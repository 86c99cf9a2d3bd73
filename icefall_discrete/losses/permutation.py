"""Which output is which source, where outputs have no order of their own: permutation-invariant training.

Yu et al. 2017, https://arxiv.org/abs/1607.00325, for whole utterances (https://arxiv.org/abs/1703.06284): of all
assignments of outputs to targets the one with the least loss counts. N utterances, T frames, S sources, V codes.
"""

import itertools
from typing import NamedTuple, Sequence

import torch
from torch import Tensor


class Assigned(NamedTuple):
    """costs (N,) of the best assignment; orders (N, S): the target that each output is held against."""

    costs: Tensor
    orders: Tensor


def best_assignment(costs: Tensor) -> Assigned:
    """The assignment with the least sum of costs (N, S, S), of output i against target j at [:, i, j]."""
    size = costs.shape[1]
    orders = torch.tensor(list(itertools.permutations(range(size))), device=costs.device)
    sums = costs[:, torch.arange(size, device=costs.device), orders].sum(dim=2)
    least = sums.min(dim=1)
    return Assigned(least.values, orders[least.indices])


def code_costs(log_probs: Sequence[Tensor], codes: Tensor, lens: Tensor) -> Tensor:
    """Nats (N, S, S) of the codes of each target under each output, summed over frames and codebooks.

    Args:
      log_probs: of each of K codebooks, (N, T, S, V_k). codes: (N, T, S, K), anything behind lens (N,).
    """
    inside = torch.arange(codes.shape[1], device=codes.device) < lens.unsqueeze(1)
    total = log_probs[0].new_zeros(len(codes), codes.shape[2], codes.shape[2])
    for book, scores in enumerate(log_probs):
        wanted = codes[..., book].clamp(max=scores.shape[3] - 1)  # padding, which does not count
        found = scores.gather(3, wanted.unsqueeze(2).expand(-1, -1, scores.shape[2], -1))
        total = total - found.masked_fill(~inside[:, :, None, None], 0.0).sum(dim=1)
    return total
