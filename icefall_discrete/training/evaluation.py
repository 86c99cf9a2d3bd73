"""Losses and figures on held-out batches, after which training goes on as if they had not been taken."""

import contextlib
import math
from typing import Callable, Dict, Iterable, Iterator, List, Mapping

import torch
from torch import Tensor

from icefall_discrete.base import random_state
from icefall_discrete.training.meters import LossMeter
from icefall_discrete.training.placement import Placement
from icefall_discrete.training.system import Batch, Losses

_SHOWN = 10


def values_of(output: Losses) -> Dict[str, float]:
    """The total (as "loss") and its parts as numbers, in one transfer from the device."""
    tensors: Dict[str, Tensor] = {"loss": output.total.detach(), **output.parts}
    return dict(zip(tensors, torch.stack([value.double() for value in tensors.values()]).tolist()))


def guilty_cuts(batch: Batch, output: Losses) -> List[str]:
    """Ids of the cuts of a batch whose losses are not finite; all of them where that cannot be told."""
    found = [name for name, finite in zip(batch["cut_ids"], output.finite.tolist()) if not finite]
    return found or list(batch["cut_ids"])


class Evaluation:
    """Evaluates a system between epochs of its training.

    Args:
      placement: of the system that is evaluated, and the processes that train together. run: batch -> its losses.
    """

    def __init__(self, placement: Placement, run: Callable[[Batch], Losses]) -> None:
        self._placement = placement
        self._system = placement.system
        self._group = placement.group
        self._run = run

    @contextlib.contextmanager
    def _unnoticed(self) -> Iterator[None]:
        state = random_state.capture()
        self._system.eval()
        with torch.no_grad():
            yield
        self._system.train()
        random_state.restore(state)

    def losses(self, batches: Iterable[Batch]) -> LossMeter:
        """Losses over all batches, each process taking its share of them.

        Raises RuntimeError, in all processes, if one is not finite; the cuts are named.
        """
        meter = LossMeter()
        guilty: List[str] = []
        with self._unnoticed():
            for batch, counts in self._placement.share(batches):
                output = self._run(batch)
                if not counts:
                    continue
                sums = values_of(output)
                if not all(map(math.isfinite, sums.values())):
                    guilty += guilty_cuts(batch, output)
                meter.add(sums, float(output.frames), len(batch["cut_ids"]))
        total, all_guilty = LossMeter(), []
        for part, cuts in self._group.gather((meter, guilty)):
            total.merge(part)
            all_guilty += cuts
        if all_guilty:
            shown = ", ".join(all_guilty[:_SHOWN]) + (" ..." if len(all_guilty) > _SHOWN else "")
            raise RuntimeError(
                f"the validation (dev) loss is not finite: {len(all_guilty)} of {total.utterances:.0f} cuts ({shown}); "
                f"{self._system.if_not_finite}."
            )
        return total

    def figures(self, batches: Iterable[Batch], weights: Mapping[str, Tensor]) -> Dict[str, float]:
        """The system's figures with `weights` instead of its own, taken by the first process."""
        with self._unnoticed(), self._placement.holding(weights):
            return self._system.figures(batches) if self._group.is_main else {}
