"""Where training stands, and what it tells a person: log file, console, progress bar, TensorBoard, a tracker."""

import contextlib
import dataclasses
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from icefall_discrete.base.shapes import COUNT, FROM_0, OBJECTS, WHOLE, or_null, require
from icefall_discrete.training.meters import LossMeter, clock
from icefall_discrete.training.trackers import NO_TRACKER, open_tracker, require_tracker
from icefall_discrete.training.training_data import Unit

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG = logging.getLogger(__name__)
_FORMAT = "%(asctime)s %(levelname)s [%(filename)s:%(lineno)d] %(message)s"
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
# What fields were called in checkpoints of earlier versions.
_FORMER_NAMES = {
    "amount": "audio_sec",
    "epoch_amount": "epoch_audio_sec",
    "best_value": "best_valid_loss",
    "best_epoch": "best_valid_epoch",
}
_LATER = ("cpu_sec",)  # of which earlier versions said nothing


_SHAPES = {
    "epoch": COUNT,
    **dict.fromkeys(("batch", "step", "bad_batches", "best_epoch"), WHOLE),
    **dict.fromkeys(("amount", "epoch_amount", "epoch_sec", "total_sec"), FROM_0),
    "cpu_sec": or_null(FROM_0),
    "epochs": OBJECTS,
}


@dataclasses.dataclass
class Progress:
    """Position and totals of a training run; all of it is in every checkpoint.

    epoch: the one being trained, from 1. batch: how many of its batches are done. step: optimiser steps in all.
    amount: what was seen in all, over all processes, in the unit of the data. epoch_amount, epoch_sec: amount and wall
    clock of this epoch's training. total_sec: wall clock of training and validation in all. cpu_sec: processor time of
    all processes meanwhile; None: not known, as it began with an earlier version. bad_batches: how many were left out.
    best_epoch: that of the least `best_value` so far, 0 for none. epochs: one record for each finished epoch.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    amount: float = 0.0
    epoch_amount: float = 0.0
    epoch_sec: float = 0.0
    total_sec: float = 0.0
    cpu_sec: Optional[float] = 0.0
    bad_batches: int = 0
    best_value: float = float("inf")
    best_epoch: int = 0
    epochs: List[Dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def rate(self) -> float:
        """Amount trained on in a second of this epoch."""
        return self.epoch_amount / self.epoch_sec if self.epoch_sec > 0 else 0.0

    def epoch_share(self, whole: float) -> float:
        """Part of an epoch of the amount `whole` that is done, from 0 to 1."""
        return min(1.0, self.epoch_amount / whole) if whole > 0 else 1.0

    def seconds_left(self, whole: float, num_epochs: int) -> Dict[str, float]:
        """Estimated wall clock until the end of this epoch and of the run, for epochs of the amount `whole`."""
        if self.rate == 0:
            return {"epoch": 0.0, "run": 0.0}
        epoch = max(0.0, whole - self.epoch_amount) / self.rate
        return {"epoch": epoch, "run": epoch + (num_epochs - self.epoch) * whole / self.rate}

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return dataclasses.asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, today or in an earlier version.

        Raises ValueError, a part of a sentence, for values that are none of these.
        """
        names = {field.name: field.name for field in dataclasses.fields(self)}
        names = {name: name if name in state else _FORMER_NAMES.get(name, name) for name in names}
        values = {name: state[said] for name, said in names.items() if said in state or name not in _LATER}
        require(values, _SHAPES, "its 'progress'")
        for name in names:
            setattr(self, name, values.get(name))

    def pass_time(self, wall_sec: float, cpu_sec: float) -> None:
        """Count the time that training or validation took."""
        self.total_sec += wall_sec
        if self.cpu_sec is not None:
            self.cpu_sec += cpu_sec


def setup_logging(log_dir: Path, name: str, rank: int = 0) -> None:
    """Send the log to `log_dir`/`name`-<date>-<rank> and, in the main process, to the console."""
    log_dir.mkdir(parents=True, exist_ok=True)
    path = log_dir / f"{name}-{time.strftime('%Y-%m-%d-%H-%M-%S')}-{rank}"
    handlers: List[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    if rank == 0:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format=_FORMAT, datefmt=_DATE_FORMAT, handlers=handlers, force=True)


@contextlib.contextmanager
def logged_to(log_dir: Path, name: str) -> Iterator[None]:
    """Send the log to a file `log_dir`/`name`-<date> as well, while the context lasts."""
    log_dir.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log_dir / f"{name}-{time.strftime('%Y-%m-%d-%H-%M-%S')}", encoding="utf-8")
    handler.setFormatter(logging.Formatter(_FORMAT, _DATE_FORMAT))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


class Reporter:
    """Log lines, a bar on terminals, TensorBoard and a tracker, for the main process; silent in others.

    Args:
      exp_dir: TensorBoard writes below it. active: whether this process reports. tensorboard: whether to write it.
      tracker: one of TRACKERS.
    Raises:
      ImportError: in each process, if the tracker's package is not installed.
    """

    def __init__(self, exp_dir: Path, active: bool, tensorboard: bool, tracker: str = NO_TRACKER) -> None:
        require_tracker(tracker)
        self._active = active
        self._tracker = open_tracker(tracker, exp_dir) if active and tracker != NO_TRACKER else None
        self._bar: Optional[tqdm] = None
        self._writer = _summary_writer(exp_dir / "tensorboard") if active and tensorboard else None

    @contextlib.contextmanager
    def epoch(self, epoch: int, total: float, done: float, unit: Unit) -> Iterator[None]:
        """Show a bar over the amount `total` while the context lasts, if a terminal is watching."""
        if not (self._active and sys.stderr.isatty()):
            yield
            return
        label = "{l_bar}{bar}| {n:.0f}/{total:.0f} " + unit.shown + " [{elapsed}<{remaining}{postfix}]"
        bar = tqdm(total=total, initial=done, desc=f"Epoch {epoch}", bar_format=label, leave=False)
        with logging_redirect_tqdm(), bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def advance(self, amount: float, loss: float) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3g}", refresh=False)
            self._bar.update(amount)

    def batch(
        self,
        progress: Progress,
        current: LossMeter,
        total: LossMeter,
        lr: float,
        left: Mapping[str, float],
        unit: Unit,
    ) -> None:
        """Write icefall's line for a batch, with speed and time left."""
        if not self._active:
            return
        LOG.info(
            f"Epoch {progress.epoch}, batch {progress.batch}, loss[{current}], tot_loss[{total}], "
            f"batch size: {current.utterances:.0f}, lr: {lr:.2e}, {progress.rate:.1f} {unit.shown}/s, "
            f"epoch ends in {clock(left['epoch'])}, run in {clock(left['run'])}"
        )
        self.scalars("train/current_", current.per_frame(), progress.step)
        self.scalars("train/tot_", total.per_frame(), progress.step)
        self.scalars("train/", {"learning_rate": lr, f"{unit.name}_per_sec": progress.rate}, progress.step)

    def scalars(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Write values to TensorBoard and to the tracker."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(prefix + name, value, step)
        if self._tracker is not None:
            self._tracker.log({prefix + name: value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """Flush TensorBoard, and end the tracker's run."""
        if self._writer is not None:
            self._writer.close()
        if self._tracker is not None:
            self._tracker.finish()


def _summary_writer(folder: Path) -> "Optional[SummaryWriter]":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        LOG.warning("TensorBoard is not installed: no curves are written; pip install tensorboard, or --tensorboard 0.")
        return None
    return SummaryWriter(log_dir=str(folder))
