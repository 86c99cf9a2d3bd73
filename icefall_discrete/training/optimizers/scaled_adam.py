"""ScaledAdam with Eden, as in icefall."""

import dataclasses
from typing import Any, Dict, List, Tuple

from torch.optim import Optimizer

from icefall_discrete.base.settings import setting
from icefall_discrete.nn.adaptation import is_of_change
from icefall_discrete.training.eden import Eden
from icefall_discrete.training.optimization import Schedule
from icefall_discrete.training.optimizers.contract import EdenSettings, NamedParameters, OptimizerConfig
from icefall_discrete.training.scaled_adam import ScaledAdam


@dataclasses.dataclass(frozen=True)
class ScaledAdamConfig(OptimizerConfig):
    """ScaledAdam: its settings are base_lr, lr_batches, lr_epochs, lr_warmup_batches and clipping_scale of `train`.

    A step is as large as the weights that it changes. Adapters and changes of low rank begin with zeros, and would
    hardly move for some hundred steps; they are a group of their own, whose steps are never scaled by less than
    `change_min_rms`.
    """

    change_min_rms: float = setting(
        0.05, "least size by which steps of adapters and LoRA are scaled, whose matrices begin at zero", above=0
    )

    def build(self, parameters: NamedParameters, train: EdenSettings) -> Tuple[Optimizer, Schedule]:
        """See OptimizerConfig."""
        changes = [(name, value) for name, value in parameters if is_of_change(name)]
        others = [(name, value) for name, value in parameters if not is_of_change(name)]
        groups: List[Dict[str, Any]] = [{"params": others}, {"params": changes, "param_min_rms": self.change_min_rms}]
        groups = [group for group in groups if group["params"]]
        optimizer = ScaledAdam(groups, lr=train.base_lr, clipping_scale=train.clipping_scale)
        return optimizer, Eden(optimizer, train.lr_batches, train.lr_epochs, train.lr_warmup_batches)
