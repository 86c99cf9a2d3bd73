"""Adam, with ESPnet's warm-up (adam or adamw, warmuplr), a constant rate, or SpeechBrain's NewBob."""

import dataclasses
import functools
import math
import re
from typing import Any, ClassVar, Dict, List, Sequence, Tuple

import torch
from torch import nn
from torch.optim import Optimizer

from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.training.newbob import NewBob
from icefall_discrete.training.optimization import SHARE, RateSchedule, Schedule
from icefall_discrete.training.optimizers.contract import EdenSettings, NamedParameters, OptimizerConfig

SCHEDULES = ("warmup", "constant", "newbob", "tri_stage", "linear", "cosine")
# Share of the largest rate that the rise of tri_stage begins with.
FIRST_SHARE = 0.01


def warmup_rate(step: int, peak_lr: float, warmup_steps: int) -> float:
    """The learning rate of step 1, 2, ...: it rises linearly to `peak_lr`, then falls as 1 / sqrt(step).

    Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 5.3, scaled as ESPnet's warmuplr.
    """
    return peak_lr * min(step / warmup_steps, (warmup_steps / step) ** 0.5)


def linear_rate(step: int, peak_lr: float, warmup_steps: int, total_steps: int) -> float:
    """The learning rate of step 1, 2, ...: it rises linearly to `peak_lr`, then falls linearly to 0, as BERT's."""
    fall = (total_steps - step) / max(1, total_steps - warmup_steps)
    return peak_lr * max(0.0, min(step / warmup_steps, fall))


def cosine_rate(step: int, peak_lr: float, warmup_steps: int, total_steps: int) -> float:
    """The learning rate of step 1, 2, ...: it rises linearly to `peak_lr`, then falls to 0 as half a cosine.

    Source: SGDR without restarts, https://arxiv.org/abs/1608.03983, equation 5.
    """
    fallen = min(1.0, max(0, step - warmup_steps) / max(1, total_steps - warmup_steps))
    return peak_lr * min(step / warmup_steps, 0.5 * (1.0 + math.cos(math.pi * fallen)))


def tri_stage_rate(step: int, config: "AdamConfig") -> float:
    """The learning rate of step 1, 2, ...: it rises linearly, stays, and falls exponentially.

    Source: SpecAugment, https://arxiv.org/abs/1904.08779, as wav2vec 2.0 is fine-tuned with it: a tenth, four tenths
    and half of all steps, to a twentieth of the largest rate, where it stays.
    """
    held = config.warmup_steps + config.hold_steps
    if step <= config.warmup_steps:
        return config.peak_lr * (FIRST_SHARE + (1.0 - FIRST_SHARE) * step / config.warmup_steps)
    fallen = min(1.0, max(0, step - held) / max(1, config.total_steps - held))
    return config.peak_lr * config.final_share**fallen


def layers_above(names: Sequence[str]) -> List[int]:
    """How many layers of the encoder, and heads, stand on each of these parameters; 0 for what is behind the encoder.

    Raises:
      ValueError: if the encoder has no layers in a row.
    """
    layers = [re.match(r"encoder\.layers\.(\d+)\.", name) for name in names]
    if not any(layers):
        raise ValueError(
            "layer_decay is for encoders of layers in a row, such as wav2vec2, conformer or transformer; set it to 1."
        )
    count = 1 + max(int(layer.group(1)) for layer in layers if layer)
    before = tuple(f"{part}." for part in ("input_embedding", "front_end", "encoder"))
    return [
        count - int(layer.group(1)) if layer else count + 1 if name.startswith(before) else 0
        for name, layer in zip(names, layers)
    ]


@dataclasses.dataclass(frozen=True)
class AdamConfig(OptimizerConfig):
    """Adam; the defaults are those of ESPnet's E-Branchformer for units of a hundred hours, and of DASB's NewBob."""

    takes_each_value_alone: ClassVar[bool] = True
    peak_lr: float = setting(0.006, "largest learning rate: at the end of the warm-up, or at once without", above=0)
    schedule: str = setting(
        "warmup",
        "learning rate: warmup: rises, then falls with the step; constant; newbob: falls after epochs that hardly "
        "bettered the validation loss; tri_stage: rises, stays, falls to final_share of it at total_steps; linear: "
        "rises, falls to 0 at total_steps; cosine: the same as half a cosine",
        choices=SCHEDULES,
    )
    warmup_steps: int = setting(
        15000, "warmup, tri_stage, linear, cosine: steps over which the learning rate rises from (about) 0", minimum=1
    )
    hold_steps: int = setting(0, "tri_stage: steps behind the warm-up in which the learning rate stays", minimum=0)
    total_steps: int = setting(0, "tri_stage, linear, cosine: step at which the learning rate is at its end", minimum=0)
    final_share: float = setting(0.05, "tri_stage: share of the learning rate at the end", above=0, maximum=1)
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
    layer_decay: float = setting(
        1.0,
        "fine-tuning: share of the learning rate that each layer of the encoder has of that of the layer above; what "
        "is before the layers counts as one more; 1: all learn alike",
        above=0,
        maximum=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        least = self.warmup_steps + self.hold_steps
        if self.schedule in ("tri_stage", "linear", "cosine") and self.total_steps <= least:
            raise ValueError(
                f"schedule {self.schedule} rises and stays for {least} steps, and total_steps is {self.total_steps}; "
                "set it to the number of steps of the training, or lower warmup_steps and hold_steps."
            )
        if len(self.betas) != 2:
            raise ValueError(f"betas is {list(self.betas)}, expected two numbers, such as 0.9,0.999.")

    def build(self, parameters: NamedParameters, train: EdenSettings) -> Tuple[Optimizer, Schedule]:
        """See OptimizerConfig; of `train` nothing is needed."""
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        first, second = self.betas
        groups = self._groups(parameters)
        optimizer = kind(groups, lr=self.peak_lr, betas=(first, second), weight_decay=self.weight_decay)
        return optimizer, self._schedule(optimizer)

    def _groups(self, parameters: NamedParameters) -> List[Dict[str, Any]]:
        """The parameters, those of each layer by themselves where their rates differ."""
        if self.layer_decay == 1.0:
            return [{"params": [value for _, value in parameters]}]
        if self.schedule == "newbob":
            raise ValueError("layer_decay is not for schedule newbob; choose another schedule.")
        depths = layers_above([name for name, _ in parameters])
        groups: Dict[int, List[nn.Parameter]] = {}
        for depth, (_, value) in zip(depths, parameters):
            groups.setdefault(depth, []).append(value)
        return [{"params": values, SHARE: self.layer_decay**depth} for depth, values in sorted(groups.items())]

    def _schedule(self, optimizer: Optimizer) -> Schedule:
        if self.schedule == "newbob":
            return NewBob(optimizer, self.annealing_factor, self.improvement_threshold, self.annealing_patience)
        if self.schedule == "constant":
            return RateSchedule(optimizer, lambda step: self.peak_lr)
        if self.schedule == "tri_stage":
            return RateSchedule(optimizer, functools.partial(tri_stage_rate, config=self))
        if self.schedule in ("linear", "cosine"):
            shape = {"warmup_steps": self.warmup_steps, "total_steps": self.total_steps}
            falling = linear_rate if self.schedule == "linear" else cosine_rate
            return RateSchedule(optimizer, functools.partial(falling, peak_lr=self.peak_lr, **shape))
        rate = functools.partial(warmup_rate, peak_lr=self.peak_lr, warmup_steps=self.warmup_steps)
        return RateSchedule(optimizer, rate)
