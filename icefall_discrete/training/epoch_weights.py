"""The file that each epoch leaves, `epoch-N.pt`: its last weights, and the running mean that averages are made of."""

from pathlib import Path
from typing import Any, Dict

from torch import nn

from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.training.averages import (
    RunningAverage,
    StateDict,
    epoch_path,
    remove_old_epochs,
    span_average,
)
from icefall_discrete.training.progress import Progress


class EpochWeights:
    """Weights at the end of the epoch that `progress` is in.

    Args:
      exp_dir: where the files go. network: whose weights they are. average: of its weights. progress: of its training.
    """

    def __init__(self, exp_dir: Path, network: nn.Module, average: RunningAverage, progress: Progress) -> None:
        self._exp_dir = exp_dir
        self._network = network
        self._average = average
        self._progress = progress

    def _average_and_place(self) -> Dict[str, Any]:
        return {
            "model_avg": self._average.state_dict(),
            "epoch": self._progress.epoch,
            "step": self._progress.step,
        }

    def mean(self) -> StateDict:
        """Mean of the samples of this epoch, with which decoding works.

        On small batches the last weights alone are so noisy that their error rates say little.
        """
        before = epoch_path(self._exp_dir, self._progress.epoch - 1)
        start = load_checkpoint(before) if before.is_file() else None
        return span_average(start, {"model": self._network.state_dict(), **self._average_and_place()})

    def save(self, keep_epochs: int) -> None:
        """Write the file, and remove those of other epochs than the last `keep_epochs` (0: of none) and the best."""
        weights = {name: value.detach().cpu() for name, value in self._network.state_dict().items()}
        save_checkpoint(
            epoch_path(self._exp_dir, self._progress.epoch), {"model": weights, **self._average_and_place()}
        )
        remove_old_epochs(self._exp_dir, keep_epochs, self._progress.best_epoch)
