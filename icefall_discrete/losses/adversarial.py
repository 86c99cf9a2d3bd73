"""What a generator and discriminators want of each other: least squares, and the distance of what discriminators hear.

Mao et al. 2016, https://arxiv.org/abs/1611.04076; feature matching of Kumar et al. 2019,
https://arxiv.org/abs/1910.06711; both as HiFi-GAN has them, https://arxiv.org/abs/2010.05646, equations 1 and 5, before
weights. All are sums over discriminators of means over what each hears.
"""

from typing import Sequence

import torch
from torch import Tensor


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack([term.float() for term in terms]).sum()


def discriminator_loss(recorded: Sequence[Tensor], said: Sequence[Tensor]) -> Tensor:
    """What discriminators minimise: scores of recordings are to be 1, of what is said 0."""
    return _sum([(1 - one).square().mean() for one in recorded] + [one.square().mean() for one in said])


def deception_loss(said: Sequence[Tensor]) -> Tensor:
    """What the generator minimises: scores of what it says are to be 1."""
    return _sum([(1 - one).square().mean() for one in said])


def feature_loss(recorded: Sequence[Sequence[Tensor]], said: Sequence[Sequence[Tensor]]) -> Tensor:
    """L1 between the outputs of every layer of every discriminator."""
    pairs = [pair for ours, theirs in zip(said, recorded) for pair in zip(ours, theirs)]
    return _sum([(one - other).abs().mean() for one, other in pairs])
