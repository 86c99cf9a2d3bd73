"""NewBob: a learning rate that falls after epochs that hardly bettered the validation loss.

Source: SpeechBrain, https://arxiv.org/abs/2106.04624, whose recipes anneal so.
"""

import math
from typing import Any, Dict, List, Mapping, Optional

from torch.optim import Optimizer


class NewBob:
    """Multiply the rates by `annealing_factor` where an epoch's validation loss is not less enough than the last one's.

    Args:
      optimizer: whose param_groups are set; their rates are those of the first epoch.
      annealing_factor: above 0, at most 1.
      improvement_threshold: share of the loss by which it has to fall.
      patience: number of epochs without that which are let pass before each annealing.
    """

    def __init__(
        self, optimizer: Optimizer, annealing_factor: float, improvement_threshold: float, patience: int
    ) -> None:
        self.optimizer = optimizer
        self.annealing_factor = annealing_factor
        self.improvement_threshold = improvement_threshold
        self.patience = patience
        self.first_rates = self.get_last_lr()
        self.num_annealed = 0
        self.num_passed = 0  # epochs let pass since the last annealing
        self.last_loss = math.inf

    def step_batch(self, batch: int) -> None:
        """Steps change nothing."""

    def step_epoch(self, epoch: float) -> None:
        """Epochs change nothing until they are validated."""

    def step_validation(self, loss: Optional[float]) -> None:
        """Anneal if `loss`, of a whole epoch, calls for it.

        Raises:
          ValueError: if it is None.
        """
        if loss is None:
            raise ValueError(
                "schedule is newbob, which follows the validation loss, but the dev set gave none; give a dev set with "
                "utterances, or another schedule (--schedule constant)."
            )
        if loss > self.last_loss * (1.0 - self.improvement_threshold):
            is_over = self.num_passed >= self.patience
            self.num_annealed += is_over
            self.num_passed = 0 if is_over else self.num_passed + 1
        self.last_loss = loss
        self._set_rates()

    def get_last_lr(self) -> List[float]:
        """Current learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> Dict[str, Any]:
        """What was seen of losses so far; the settings stay with whoever builds the schedule."""
        return {"num_annealed": self.num_annealed, "num_passed": self.num_passed, "last_loss": self.last_loss}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the epochs of `state`."""
        self.num_annealed, self.num_passed = state["num_annealed"], state["num_passed"]
        self.last_loss = state["last_loss"]
        self._set_rates()

    def _set_rates(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.first_rates):
            group["lr"] = rate * self.annealing_factor**self.num_annealed
