"""Adam with a rate that rises and falls with the step alone, as in ESPnet's recipes (adam or adamw, warmuplr)."""

import dataclasses
import functools
from typing import Tuple

import torch
from torch.optim import Optimizer

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.training.optimization import RateSchedule, Schedule
from icefall_discrete.training.optimizers.contract import EdenSettings, NamedParameters, OptimizerConfig


def warmup_rate(step: int, peak_lr: float, warmup_steps: int) -> float:
    """The learning rate of step 1, 2, ...: it rises linearly to `peak_lr`, then falls as 1 / sqrt(step).

    Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 5.3, scaled as ESPnet's warmuplr.
    """
    return peak_lr * min(step / warmup_steps, (warmup_steps / step) ** 0.5)


@dataclasses.dataclass(frozen=True)
class AdamConfig(OptimizerConfig):
    """Adam; the defaults are those of ESPnet's E-Branchformer for units of a hundred hours."""

    peak_lr: float = setting(0.006, "learning rate at the end of the warm-up", above=0)
    warmup_steps: int = setting(
        15000, "steps over which the learning rate rises from 0; then it falls as 1 / sqrt(step)", minimum=1
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
        rate = functools.partial(warmup_rate, peak_lr=self.peak_lr, warmup_steps=self.warmup_steps)
        return optimizer, RateSchedule(optimizer, rate)
