"""Learning rate schedules as the loop sees them, and one for a rate that is a function of the step."""

from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol

from torch.optim import Optimizer

# Of a group of parameters: what share of the learning rate it has.
SHARE = "share_of_rate"


class OtherGroups(ValueError):
    """An optimiser's state is of other groups of parameters than it has."""


class Schedule(Protocol):
    """Sets the rates of an optimiser; told before each step, of epochs or parts of them, and of what an epoch gave."""

    def step_batch(self, batch: int) -> None:
        """The step numbered `batch`, from 1, comes next."""

    def step_epoch(self, epoch: float) -> None:
        """So many epochs are done; parts of one may count."""

    def step_validation(self, loss: Optional[float]) -> None:
        """A whole epoch is validated; `loss` is that of the dev set, None where there is none."""

    def get_last_lr(self) -> List[float]:
        """Current learning rate of each group."""

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""


class UnchangedRates:
    """Learning rates that stay as the optimiser's groups have them.

    Args:
      optimizer: whose rates are told.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def step_batch(self, batch: int) -> None:
        """Steps change nothing."""

    def step_epoch(self, epoch: float) -> None:
        """Nor do epochs."""

    def step_validation(self, loss: Optional[float]) -> None:
        """Nor does what they gave."""

    def get_last_lr(self) -> List[float]:
        """Learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> Dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Nothing to restore."""


class RateSchedule:
    """A learning rate that depends on the number of the step alone.

    Args:
      optimizer: whose param_groups are set. rate: number of a step, from 1 -> its learning rate.
    """

    def __init__(self, optimizer: Optimizer, rate: Callable[[int], float]) -> None:
        self.optimizer = optimizer
        self.rate = rate
        self.batch = 0

    def step_batch(self, batch: int) -> None:
        """Set the rate of step `batch`, from 1."""
        self.batch = batch
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(batch) * group.get(SHARE, 1.0)

    def step_epoch(self, epoch: float) -> None:
        """Epochs change nothing."""

    def step_validation(self, loss: Optional[float]) -> None:
        """Nor does what they gave."""

    def get_last_lr(self) -> List[float]:
        """Current learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> Dict[str, Any]:
        """The number of the last step."""
        return {"batch": self.batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the step of `state`."""
        if state["batch"]:
            self.step_batch(state["batch"])
