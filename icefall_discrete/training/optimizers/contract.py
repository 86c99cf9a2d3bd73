"""What every optimiser of `train.optimizer` offers: its settings, in a file whose name is its kind."""

import abc
from typing import ClassVar, Protocol, Sequence, Tuple

from torch import nn
from torch.optim import Optimizer

from icefall_discrete.base import registry
from icefall_discrete.training.optimization import Schedule

NamedParameters = Sequence[Tuple[str, nn.Parameter]]


class EdenSettings(Protocol):
    """The settings of `train` that are older than the choice of an optimiser, see TrainConfig."""

    @property
    def base_lr(self) -> float:
        """Learning rate that Eden starts from."""

    @property
    def lr_batches(self) -> float:
        """Steps after which it begins to fall."""

    @property
    def lr_epochs(self) -> float:
        """Epochs after which it does."""

    @property
    def lr_warmup_batches(self) -> float:
        """Steps over which it rises from half."""

    @property
    def clipping_scale(self) -> float:
        """Multiple of the median size of gradients at which they are clipped."""


class OptimizerConfig(abc.ABC):
    """Settings of an optimiser and of its learning rate, a frozen dataclass.

    takes_each_value_alone: whether a step of some values of a tensor needs nothing of the others.
    """

    takes_each_value_alone: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, parameters: NamedParameters, train: EdenSettings) -> Tuple[Optimizer, Schedule]:
        """The optimiser of these parameters, with their names, and its schedule."""


OPTIMIZERS = registry.FileKinds("icefall_discrete.training.optimizers", OptimizerConfig)
