"""ScaledAdam with Eden, as in icefall."""

import dataclasses
from typing import Tuple

from torch.optim import Optimizer

from icefall_discrete.training.eden import Eden
from icefall_discrete.training.optimization import Schedule
from icefall_discrete.training.optimizers.contract import EdenSettings, NamedParameters, OptimizerConfig
from icefall_discrete.training.scaled_adam import ScaledAdam


@dataclasses.dataclass(frozen=True)
class ScaledAdamConfig(OptimizerConfig):
    """ScaledAdam: its settings are base_lr, lr_batches, lr_epochs, lr_warmup_batches and clipping_scale of `train`."""

    def build(self, parameters: NamedParameters, train: EdenSettings) -> Tuple[Optimizer, Schedule]:
        """See OptimizerConfig."""
        optimizer = ScaledAdam(parameters, lr=train.base_lr, clipping_scale=train.clipping_scale)
        return optimizer, Eden(optimizer, train.lr_batches, train.lr_epochs, train.lr_warmup_batches)
