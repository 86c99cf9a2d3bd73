"""Networks that are trained against a system's own: not decoded with, averaged, or clipped, but resumed with it."""

from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

import torch
from torch import nn
from torch.optim import Optimizer

# Their weights in checkpoints, and in batches that are kept to be done again.
OPPONENTS = "opponents"


class Opponents(NamedTuple):
    """What learns to find a system's faults: a submodule of the system outside its network, and its optimiser.

    The system's losses hold theirs, without a gradient into the network, and its own without one into them.
    """

    network: nn.Module
    optimizer: Optimizer


class SideBySide(Optimizer):
    """The optimiser of a network and that of its opponents as one: a step of it is a step of each.

    Where number formats are scaled, a gradient of either that is not finite leaves out the step of both.
    """

    def __init__(self, own: Optimizer, opponents: Optimizer) -> None:
        self.own, self.opponents = own, opponents
        groups = [*own.param_groups, *opponents.param_groups]
        super().__init__([{"params": list(group["params"])} for group in groups], {})

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], Any]] = None) -> Any:
        """A step of each; `closure` is the network's own optimiser's."""
        loss = self.own.step(closure)
        self.opponents.step()
        return loss

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"own": self.own.state_dict(), "opponents": self.opponents.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.own.load_state_dict(state["own"])
        self.opponents.load_state_dict(state["opponents"])
