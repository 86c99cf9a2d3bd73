"""Adam, with ESPnet's warm-up (adam or adamw, warmuplr), a constant rate, or SpeechBrain's NewBob."""

import dataclasses
import functools
from typing import Tuple

import torch
from torch.optim import Optimizer

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.training.newbob import NewBob
from icefall_discrete.training.optimization import RateSchedule, Schedule
from icefall_discrete.training.optimizers.contract import EdenSettings, NamedParameters, OptimizerConfig

SCHEDULES = ("warmup", "constant", "newbob")


def warmup_rate(step: int, peak_lr: float, warmup_steps: int) -> float:
    """The learning rate of step 1, 2, ...: it rises linearly to `peak_lr`, then falls as 1 / sqrt(step).

    Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 5.3, scaled as ESPnet's warmuplr.
    """
    return peak_lr * min(step / warmup_steps, (warmup_steps / step) ** 0.5)


@dataclasses.dataclass(frozen=True)
class AdamConfig(OptimizerConfig):
    """Adam; the defaults are those of ESPnet's E-Branchformer for units of a hundred hours, and of DASB's NewBob."""

    peak_lr: float = setting(0.006, "largest learning rate: at the end of the warm-up, or at once without", above=0)
    schedule: str = setting(
        "warmup",
        "learning rate: warmup: rises, then falls with the step; constant; newbob: falls after epochs that hardly "
        "bettered the validation loss",
        choices=SCHEDULES,
    )
    warmup_steps: int = setting(
        15000, "warmup: steps over which the learning rate rises from 0; then it falls as 1 / sqrt(step)", minimum=1
    )
    annealing_factor: float = setting(0.8, "newbob: what the learning rate is multiplied by", above=0, maximum=1)
    improvement_threshold: float = setting(
        0.0025, "newbob: share of the last epoch's validation loss by which it has to fall", minimum=0, maximum=1
    )
    annealing_patience: int = setting(
        0, "newbob: epochs without improvement that are let pass before each annealing", minimum=0
    )
    betas: Tuple[float, ...] = setting(
        (0.9, 0.999), "two decays: of the gradients' mean, of their squares'", minimum=0, maximum=0.999999
    )
    weight_decay: float = setting(1.0e-6, "share of the weights that is added to their gradients", minimum=0)
    decoupled: bool = setting(False, "take weight_decay times the learning rate off the weights themselves (AdamW)")

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.betas) != 2:
            raise ValueError(f"betas is {list(self.betas)}, expected two numbers, such as 0.9,0.999.")

    def build(self, parameters: NamedParameters, train: EdenSettings) -> Tuple[Optimizer, Schedule]:
        """See OptimizerConfig; of `train` nothing is needed."""
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        first, second = self.betas
        tensors = [value for _, value in parameters]
        optimizer = kind(tensors, lr=self.peak_lr, betas=(first, second), weight_decay=self.weight_decay)
        return optimizer, self._schedule(optimizer)

    def _schedule(self, optimizer: Optimizer) -> Schedule:
        if self.schedule == "newbob":
            return NewBob(optimizer, self.annealing_factor, self.improvement_threshold, self.annealing_patience)
        if self.schedule == "constant":
            return RateSchedule(optimizer, lambda step: self.peak_lr)
        rate = functools.partial(warmup_rate, peak_lr=self.peak_lr, warmup_steps=self.warmup_steps)
        return RateSchedule(optimizer, rate)
