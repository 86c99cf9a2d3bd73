"""The file that each epoch leaves, `epoch-N.pt`: its last weights, and the running mean that averages are made of."""

from pathlib import Path
from typing import Any, Dict

from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.training.averages import (
    RunningAverage,
    StateDict,
    epoch_path,
    remove_old_epochs,
    span_average,
)
from icefall_discrete.training.placement import Placement
from icefall_discrete.training.progress import Progress


class EpochWeights:
    """Weights at the end of the epoch that `progress` is in.

    Args:
      exp_dir: where the files go. placement: of the network whose weights they are. average: of its weights.
      progress: of its training.
    """

    def __init__(self, exp_dir: Path, placement: Placement, average: RunningAverage, progress: Progress) -> None:
        self._exp_dir = exp_dir
        self._placement = placement
        self._network = placement.whole(placement.system.network)
        self._average = placement.whole(average)
        self._progress = progress

    def _state(self) -> Dict[str, Any]:
        """What the file holds; nothing in other processes than the first."""
        if not self._placement.takes_part:
            return {}
        state = {
            "model": self._network.state_dict(),
            "model_avg": self._average.state_dict(),
            "epoch": self._progress.epoch,
            "step": self._progress.step,
        }
        return state if self._placement.group.is_main else {}

    def mean(self) -> StateDict:
        """Mean of the samples of this epoch, with which decoding works; nothing in other processes than the first.

        On small batches the last weights alone are so noisy that their error rates say little.
        """
        state = self._state()
        if not state:
            return {}
        before = epoch_path(self._exp_dir, self._progress.epoch - 1)
        start = load_checkpoint(before) if before.is_file() else None
        return span_average(start, state)

    def save(self, keep_epochs: int) -> None:
        """Write the file, as the first process, and remove those of other epochs.

        Those of the last `keep_epochs` (0: of none) and of the best one stay.
        """
        state = self._state()
        if not state:
            return
        weights = {name: value.detach().cpu() for name, value in state["model"].items()}
        save_checkpoint(epoch_path(self._exp_dir, self._progress.epoch), {**state, "model": weights})
        remove_old_epochs(self._exp_dir, keep_epochs, self._progress.best_epoch)
