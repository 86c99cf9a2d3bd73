"""Where the weights lie of a network that several processes train: whole in each of them, or divided (sharding.py)."""

import contextlib
import importlib
import itertools
from typing import Any, ContextManager, Iterable, Iterator, Mapping, Protocol, Tuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from icefall_discrete.training.averages import StateDict
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.system import Batch, System
from icefall_discrete.training.train_config import TrainConfig


class Stateful(Protocol):
    """Model, optimiser, schedule, meter: whatever can say and take over its state."""

    def state_dict(self) -> Any:
        """Plain values for a checkpoint."""

    def load_state_dict(self, state: Any) -> Any:
        """Restore what `state_dict` gave."""


class Placement:
    """Weights, gradients and what the optimiser keeps are whole in every process.

    Args:
      system: network and losses. group: the processes that train together.
    """

    def __init__(self, system: System, group: Group) -> None:
        self.system = system
        self.group = group
        self.module: nn.Module = system  # what is called for losses to be differentiated

    @property
    def takes_part(self) -> bool:
        """Whether this process has to be there when states are asked for."""
        return self.group.is_main

    def whole(self, part: Stateful) -> Stateful:
        """The same part of training, whose state is of whole tensors: in the first process, where all ask for it."""
        return part

    def begin(self) -> None:
        """Told before the first step of training; from here on `module` exchanges gradients."""
        if self.group.world_size > 1:
            device = next(self.system.parameters()).device
            devices = [device] if device.type == "cuda" else None
            # Losses that are off and random skips leave parameters out of steps.
            self.module = nn.parallel.DistributedDataParallel(
                self.system, device_ids=devices, find_unused_parameters=True
            )

    def exchange_of_gradients(self, is_last: bool) -> ContextManager[None]:
        """Context of a batch's passes: processes exchange gradients in the last one of a step, for all of them."""
        if is_last or not isinstance(self.module, nn.parallel.DistributedDataParallel):
            return contextlib.nullcontext()
        return self.module.no_sync()

    def gradients_are_finite(self) -> bool:
        """Whether those that this process holds are."""
        # Norms are a few launches on a device, and one number to wait for; one that overflows is no good either.
        gradients = [parameter.grad for parameter in self.system.parameters() if parameter.grad is not None]
        return bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all())

    def shorten_gradients(self, longest: float) -> None:
        """Those of the network, taken together, to the length `longest` where they are longer."""
        nn.utils.clip_grad_norm_(self.system.network.parameters(), longest)

    def weights_at_hand(self) -> StateDict:
        """The network's, as far as this process has them without the others."""
        return self.system.network.state_dict()

    def share(self, batches: Iterable[Batch]) -> Iterator[Tuple[Batch, bool]]:
        """This process's share of what all are given, and whether each counts."""
        for batch in itertools.islice(batches, self.group.rank, None, self.group.world_size):
            yield batch, True

    def tried(self, batches: Iterable[Tuple[str, Batch]]) -> Iterable[Tuple[str, Batch]]:
        """What this process tries before training, of its own largest batches with what is large about them."""
        return batches

    @contextlib.contextmanager
    def holding(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """While it lasts, the first process's network has `weights` instead of its own."""
        if not self.group.is_main:
            yield
            return
        network = self.system.network
        own = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(weights)
        try:
            yield
        finally:
            network.load_state_dict(own)


def place(system: System, optimizer: Optimizer, config: TrainConfig, group: Group) -> Placement:
    """Place a system's weights as `config` says; `optimizer` is of their parameters, and has made no step.

    Raises:
      ValueError: if they cannot be divided.
    """
    if not config.sharded or group.world_size == 1:
        return Placement(system, group)
    # Not imported where it is not asked for: it needs a torch that not all have.
    sharding = importlib.import_module("icefall_discrete.training.sharding")
    placement: Placement = sharding.Sharded(system, optimizer, group)
    return placement
