"""Eden: a learning rate that falls with batches and with epochs, after a linear warm-up.

Source: the Zipformer paper, https://arxiv.org/abs/2310.11230 (Eden schedule), and icefall's defaults.
"""

from typing import Dict, List, Optional

from torch.optim import Optimizer


class Eden:
    """Set the optimiser's learning rates from the batch and epoch counts.

    lr = base_lr * (1 + (batch / lr_batches)^2)^-0.25 * (1 + (epoch / lr_epochs)^2)^-0.25 * warmup(batch), where warmup
    rises linearly from `warmup_start` to 1 over `warmup_batches` batches. `base_lr` is each group's learning rate when
    the schedule is made. Learning rates change at `step_batch` and `step_epoch`, never before.

    Args:
      optimizer: whose param_groups are set.
      lr_batches: batches after which the rate starts to fall noticeably.
      lr_epochs: epochs (or another measure of data seen) after which it does.
      warmup_batches: length of the warm-up; 0 for none.
      warmup_start: factor at batch 0, in [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_batches: float,
        lr_epochs: float,
        warmup_batches: float = 500.0,
        warmup_start: float = 0.5,
    ) -> None:
        if lr_batches <= 0 or lr_epochs <= 0 or not 0.0 <= warmup_start <= 1.0:
            raise ValueError(
                f"Eden got lr_batches {lr_batches}, lr_epochs {lr_epochs} and warmup_start {warmup_start}; expected "
                "the first two above 0 and warmup_start within [0, 1]."
            )
        self.optimizer = optimizer
        self.lr_batches = lr_batches
        self.lr_epochs = lr_epochs
        self.warmup_batches = warmup_batches
        self.warmup_start = warmup_start
        for group in optimizer.param_groups:
            group.setdefault("base_lr", group["lr"])
        self.base_lrs = [group["base_lr"] for group in optimizer.param_groups]
        self.batch: float = 0
        self.epoch = 0.0

    def factor(self) -> float:
        """What the base learning rates are multiplied with at the current batch and epoch."""
        decay = (1.0 + (self.batch / self.lr_batches) ** 2) * (1.0 + (self.epoch / self.lr_epochs) ** 2)
        warmup = 1.0
        if self.batch < self.warmup_batches:
            warmup = self.warmup_start + (1.0 - self.warmup_start) * self.batch / self.warmup_batches
        return decay**-0.25 * warmup

    def step_batch(self, batch: Optional[int] = None) -> None:
        """Move to `batch`, counted from the start of training, or to the next one."""
        self.batch = self.batch + 1 if batch is None else batch
        self._set_lrs()

    def step_epoch(self, epoch: Optional[float] = None) -> None:
        """Move to `epoch`, the number of epochs finished (parts of one may count), or to the next one."""
        self.epoch = self.epoch + 1 if epoch is None else epoch
        self._set_lrs()

    def step_validation(self, loss: Optional[float]) -> None:
        """What an epoch gave changes nothing."""

    def get_last_lr(self) -> List[float]:
        """Current learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _set_lrs(self) -> None:
        factor = self.factor()
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = base_lr * factor

    def state_dict(self) -> Dict[str, float]:
        """Batch and epoch; base rates and decay settings stay with whoever builds the schedule."""
        return {"batch": self.batch, "epoch": self.epoch}

    def load_state_dict(self, state: Dict[str, float]) -> None:
        """Continue at the batch and epoch of `state`."""
        self.batch = state["batch"]
        self.epoch = state["epoch"]
        self._set_lrs()
