"""Enhancement and separation as the training loop sees them: codes of sources, whichever output they come from."""

from typing import Dict, Iterable, NamedTuple

import torch
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.data.sources import SOURCES
from icefall_discrete.losses.permutation import best_assignment, code_costs
from icefall_discrete.systems.acoustic import AcousticSystem
from icefall_discrete.systems.enhancement.network import Enhancer
from icefall_discrete.training.system import Batch, Losses


class Mixed(NamedTuple):
    """Codes of mixtures (N, T, K) with lens (N,), and of their sources (N, T, S, K)."""

    codes: Tensor
    lens: Tensor
    sources: Tensor


def equal_codes(found: Tensor, true: Tensor) -> Tensor:
    """How many codes of each output (T, S, K) are those of each source (T, S, K): (S, S)."""
    return (found.unsqueeze(2) == true.unsqueeze(1)).sum(dim=(0, 3))


def in_order(found: Tensor, true: Tensor) -> Tensor:
    """The outputs (T, S, K) in the order of the sources (T, S, K) that they have most codes in common with."""
    order = best_assignment(-equal_codes(found, true)[None].double()).orders[0]
    return found[:, order.argsort()]


class EnhancementSystem(AcousticSystem[Mixed]):
    """A network and its loss.

    Args:
      network: the network. spec: of the codes.
    """

    network: Enhancer

    def __init__(self, network: Enhancer, spec: FeatureSpec) -> None:
        super().__init__(network, spec)

    def prepare(self, batch: Batch, device: torch.device) -> Mixed:
        """Tensors on `device` of a batch with sources (data/sources.py)."""
        tensors = (batch[batch_key(self.spec)], batch["frame_lens"], batch[SOURCES])
        return Mixed(*(tensor.to(device, non_blocking=True) for tensor in tensors))

    def losses(self, prepared: Mixed, step: int) -> Losses:
        """Cross-entropy over frames, codebooks and sources, these in their best order; the log divides by frames."""
        found = self.network.log_probs(prepared.codes, prepared.lens)
        costs = best_assignment(code_costs(found, prepared.sources, prepared.lens)).costs
        frames = prepared.lens.sum()
        return Losses(costs.sum(), {"cross_entropy": costs.detach().sum()}, frames, costs.isfinite())

    def figures(self, batches: Iterable[Batch]) -> Dict[str, float]:
        """{"dev_code_accuracy", "dev_first_accuracy"}: percent of the sources' codes, and of the first codebook's."""
        right, right_first, total = 0, 0, 0
        for batch in batches:
            mixed = self.prepare(batch, next(self.network.parameters()).device)
            found = self.network.parted(mixed.codes, mixed.lens)
            for one, true, length in zip(found, mixed.sources, mixed.lens.tolist()):
                same = in_order(one[:length], true[:length]) == true[:length]
                right, right_first = right + int(same.sum()), right_first + int(same[..., 0].sum())
                total += same[..., 0].numel()
        if not total:
            return {}
        return {
            "dev_code_accuracy": 100.0 * right / total / self.spec.num_codebooks,
            "dev_first_accuracy": 100.0 * right_first / total,
        }
