"""How long training may go on: whole epochs while they fit into the time given, and then a part of one."""

from icefall_discrete.training.progress import Progress

# A shorter part is not begun: its weights would be averaged over too few steps to be better than those before it.
SMALLEST_PART = 0.25


class TimeBudget:
    """Wall clock for training, validation and decoding of the dev set together.

    Args:
      max_minutes: the limit; 0 for none.
    """

    def __init__(self, max_minutes: float) -> None:
        self._limit_sec = 60.0 * max_minutes if max_minutes else float("inf")

    def seconds_left(self, progress: Progress) -> float:
        """Time for training steps that is left, after setting aside what the end of an epoch takes."""
        epochs = progress.epochs
        trained = sum(record["train_sec"] for record in epochs) + progress.epoch_sec
        end_of_epoch = (progress.total_sec - trained) / len(epochs) if epochs else 0.0
        return self._limit_sec - progress.total_sec - end_of_epoch

    def is_spent(self, progress: Progress, running_sec: float = 0.0) -> bool:
        """Whether to stop now, within an epoch; `running_sec` is what the step at hand has taken so far."""
        return self.seconds_left(progress) <= running_sec

    def allows_another_epoch(self, progress: Progress) -> bool:
        """Whether enough of one more epoch fits, if it takes as long as the longer of the last two."""
        if not progress.epochs:
            return True
        per_epoch = max(record["train_sec"] for record in progress.epochs[-2:])
        return self.seconds_left(progress) > SMALLEST_PART * per_epoch
