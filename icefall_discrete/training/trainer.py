"""The loop: epochs, steps, validation, checkpoints; resumed exactly where it stopped."""

import contextlib
import dataclasses
import functools
import itertools
import logging
import math
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base import random_state
from icefall_discrete.base.atomic_files import replacing
from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.base.json_files import write_json
from icefall_discrete.training.averages import RunningAverage, epoch_path, span_average
from icefall_discrete.training.bad_batches import BadBatches
from icefall_discrete.training.budget import TimeBudget
from icefall_discrete.training.distributed import Group, is_lost_peer
from icefall_discrete.training.eden import Eden
from icefall_discrete.training.largest import try_batches
from icefall_discrete.training.meters import LossMeter, clock
from icefall_discrete.training.precision import Precision
from icefall_discrete.training.progress import Progress, Reporter
from icefall_discrete.training.resume import Noise, ResumePoints
from icefall_discrete.training.system import Batch, Losses, System
from icefall_discrete.training.train_config import TrainConfig

LOG = logging.getLogger(__name__)

# Batches after which the running loss of the log has forgotten a batch to 1/e, as in icefall.
_METER_BATCHES = 200
_BAD_GRADIENT = "a gradient is not finite"


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Where batches come from.

    train_batches: (epoch from 1, number of batches to leave out) -> batches. valid_batches: () -> batches.
    figure_batches: () -> batches that the system's figures are taken on.
    epoch_audio_sec: seconds of audio in an epoch, over all processes.
    largest_batches: () -> (what is largest, training batch), the batches that need most memory.
    epoch_facts: epoch -> what train.json says about its data besides.
    """

    train_batches: Callable[[int, int], Iterable[Batch]]
    valid_batches: Callable[[], Iterable[Batch]]
    epoch_audio_sec: float
    figure_batches: Callable[[], Iterable[Batch]] = tuple
    largest_batches: Callable[[], Iterable[Tuple[str, Batch]]] = tuple
    epoch_facts: Callable[[int], Mapping[str, Any]] = lambda epoch: {}


class _Sums(NamedTuple):
    """What a step adds up over its batches and all processes."""

    meter: LossMeter
    audio_sec: float
    is_bad: bool
    out_of_time: bool


class Trainer:
    """Train a system on batches, and leave `epoch-N.pt`, checkpoints and `train.json` in the experiment folder.

    Args:
      system: network and losses, on their device.
      optimizer, scheduler: of the network, and its learning rate schedule.
      config: the settings.
      exp_dir: the experiment folder.
      group: the processes that train together.
      facts: what train.json says besides (backend, parameters, ...).
    """

    def __init__(
        self,
        system: System,
        optimizer: torch.optim.Optimizer,
        scheduler: Eden,
        config: TrainConfig,
        exp_dir: Path,
        group: Group,
        facts: Mapping[str, Any],
    ) -> None:
        self.system = system
        self.model = system.network
        self._parallel: nn.Module = system
        self.device = next(system.parameters()).device
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.config = config
        self.exp_dir = exp_dir
        self.group = group
        self.facts = dict(facts)
        self.precision = Precision(config.precision, self.device.type)
        self.average = RunningAverage(self.model)
        self.progress = Progress()
        self.budget = TimeBudget(config.max_minutes)
        self.epoch_losses = LossMeter()
        self.recent_losses = LossMeter()
        self.bad_batches = BadBatches(exp_dir, config.max_bad_batches, group)
        self.reporter = Reporter(exp_dir, group.is_main, config.tensorboard)
        self.noise = Noise(system)
        parts = {
            "model": self.model,
            "model_avg": self.average,
            "optimizer": optimizer,
            "scheduler": scheduler,
            "precision": self.precision,
            "epoch_losses": self.epoch_losses,
            "recent_losses": self.recent_losses,
        }
        self.resume_points = ResumePoints(exp_dir, config.keep_last_k, group, self.noise, self.progress, parts)

    def fit(self, data: TrainingData) -> Dict[str, Any]:
        """Train to the end, from the newest checkpoint if there is one; return what train.json holds.

        Raises:
          RuntimeError: if more than `max_bad_batches` batches were not finite, or a batch failed; it is saved.
        """
        self.resume_points.load_newest()
        if self.config.try_largest_batches:
            self._try_largest_batches(data)
        if self.group.world_size > 1:
            self._parallel = self._in_parallel()
        stopped_by = "num_epochs"
        while self.progress.epoch <= self.config.num_epochs:
            is_new = self.progress.batch == 0
            if is_new and self.group.any(not self.budget.allows_another_epoch(self.progress)):
                stopped_by = "max_minutes"
                break
            if not self._train_epoch(data):
                stopped_by = "max_minutes"
                self.resume_points.save()
                self._finish_epoch(data, self.progress.epoch_share(data.epoch_audio_sec))
                break
            self._finish_epoch(data, 1.0)
            self._begin_next_epoch()
        self.reporter.close()
        return self._write_summary(stopped_by)

    def _in_parallel(self) -> nn.Module:
        # Only now: its hooks would take part in the backward pass of the batches that were tried.
        devices = [self.device] if self.device.type == "cuda" else None
        # Losses that are off and random skips leave parameters out of steps.
        return nn.parallel.DistributedDataParallel(self.system, device_ids=devices, find_unused_parameters=True)

    def _try_largest_batches(self, data: TrainingData) -> None:
        """Forward and backward pass of the largest batches; nothing that training depends on changes."""
        began, noise = time.perf_counter(), self.noise.state_dict()
        self.system.train()
        self.system.set_batch_count(self.progress.audio_sec / self.config.ref_duration)

        def run(batch: Batch) -> None:
            self._forward(self.system, batch).total.backward()
            self.optimizer.zero_grad(set_to_none=True)

        try_batches(run, data.largest_batches(), self.device)
        self.noise.load_state_dict(noise)
        self.progress.total_sec += time.perf_counter() - began

    def _train_epoch(self, data: TrainingData) -> bool:
        """Train on the rest of the epoch; return False if the time was up before its end."""
        progress, config = self.progress, self.config
        self.scheduler.step_epoch(progress.epoch - 1)
        self.system.begin_epoch(progress.epoch)
        self.system.train()
        LOG.info(f"Epoch {progress.epoch} of {config.num_epochs}: {clock(data.epoch_audio_sec)} of audio.")
        with self.reporter.epoch(progress.epoch, data.epoch_audio_sec, progress.epoch_audio_sec):
            mark = time.perf_counter()
            for batches in _grouped(data.train_batches(progress.epoch, progress.batch), config.accum_grad):
                if config.fractional_epochs:
                    self.scheduler.step_epoch(progress.epoch - 1 + progress.epoch_share(data.epoch_audio_sec))
                sums = self._step(batches)
                now = time.perf_counter()
                self._advance(now - mark, sums)
                if progress.batch // config.log_interval != (progress.batch - len(batches)) // config.log_interval:
                    self._report(sums.meter, data.epoch_audio_sec)
                if progress.step % config.save_every_n == 0 and progress.step != self.resume_points.saved_step:
                    self.resume_points.save()
                mark = time.perf_counter()
                if sums.out_of_time:
                    return False
        return True

    def _report(self, meter: LossMeter, epoch_audio_sec: float) -> None:
        left = self.progress.seconds_left(epoch_audio_sec, self.config.num_epochs)
        budget = max(0.0, self.budget.seconds_left(self.progress))
        left = {name: min(seconds, budget) for name, seconds in left.items()}
        self.reporter.batch(self.progress, meter, self.recent_losses, self.scheduler.get_last_lr()[0], left)

    def _step(self, batches: List[Batch]) -> _Sums:
        """One optimiser step on the summed gradients of `batches`, over all processes.

        If something is not finite, there is no step but a record. Any error ends training, with its batch saved.
        """
        noise = self.noise.state_dict()
        self.system.set_batch_count(self.progress.audio_sec / self.config.ref_duration)
        self.progress.batch += len(batches)
        snapshot = functools.partial(self._snapshot, batches, noise)
        try:
            meter, reason = self._backward(batches)
            sums = self._summed(meter, reason, batches)
            if not sums.is_bad:
                self._update()
        except (RuntimeError, ValueError, MemoryError) as error:
            if is_lost_peer(error):
                raise
            raise self.bad_batches.failed(batches, error, self.progress, snapshot) from error
        if sums.is_bad:
            self.optimizer.zero_grad(set_to_none=True)
            if reason == _BAD_GRADIENT and not math.isfinite(sums.meter.sums["loss"]):
                reason = None  # it came from another process, whose loss is to blame
            self.bad_batches.leave_out(batches, reason, self.progress, functools.partial(snapshot, reason))
            return sums._replace(meter=LossMeter())
        return sums

    def _backward(self, batches: List[Batch]) -> Tuple[LossMeter, Optional[str]]:
        """Gradients of the sum of the losses over batches and processes; this process's losses, and what is bad."""
        meter, reason = LossMeter(), None
        for batch in batches:
            output = self._forward(self._parallel, batch)
            # DistributedDataParallel gives the mean over the processes; losses are sums over utterances.
            self.precision.backward(output.total * self.group.world_size)
            sums = _values(output)
            if not math.isfinite(sums["loss"]):
                guilty = [cut_id for cut_id, finite in zip(batch["cut_ids"], output.finite.tolist()) if not finite]
                reason = f"the loss is not finite (cuts {', '.join(guilty) or 'unknown'})"
            meter.add(sums, float(output.frames), len(batch["cut_ids"]))
        if reason is None and not self.precision.overflows_are_expected and not self._gradients_are_finite():
            reason = _BAD_GRADIENT
        return meter, reason

    def _summed(self, meter: LossMeter, reason: Optional[str], batches: List[Batch]) -> _Sums:
        """Add up a step's figures over the processes, in one exchange."""
        own = {
            "audio_sec": sum(float(batch["duration_sec"].sum()) for batch in batches),
            "is_bad": float(reason is not None),
            "out_of_time": float(self.budget.is_spent(self.progress)),
            "frames": meter.frames,
            "utterances": meter.utterances,
        }
        losses = {f"loss/{name}": value for name, value in meter.sums.items()}
        total = self.group.sum({**own, **losses}, self.device)
        everyone = LossMeter()
        everyone.add({name: total[f"loss/{name}"] for name in meter.sums}, total["frames"], total["utterances"])
        return _Sums(everyone, total["audio_sec"], total["is_bad"] > 0, total["out_of_time"] > 0)

    def _update(self) -> None:
        self.progress.step += 1
        self.scheduler.step_batch(self.progress.step)
        self.precision.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        if self.progress.step % self.config.average_period == 0:
            self.average.update(self.model)

    def _snapshot(self, batches: List[Batch], noise: Mapping[str, Any], reason: Optional[str] = None) -> Dict[str, Any]:
        """What experiment/replay.py needs to do a step again."""
        progress = self.progress
        return {
            "batches": [dict(batch) for batch in batches],
            "model": self.model.state_dict(),
            "precision": self.precision.state_dict(),
            "noise": noise,
            "batch_count": progress.audio_sec / self.config.ref_duration,
            "place": {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step},
            "reason": reason or "it raised an error",
        }

    def _forward(self, module: nn.Module, batch: Batch) -> Losses:
        prepared = self.system.prepare(batch, self.device)
        with self.precision.autocast():
            return module(prepared, self.progress.step)

    def _gradients_are_finite(self) -> bool:
        # Norms are a few launches on a device, and one number to wait for; one that overflows is no good either.
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        return bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all())

    def _advance(self, wall_sec: float, sums: _Sums) -> None:
        progress = self.progress
        progress.audio_sec += sums.audio_sec
        progress.epoch_audio_sec += sums.audio_sec
        progress.epoch_sec += wall_sec
        progress.total_sec += wall_sec
        self.epoch_losses.merge(sums.meter)
        self.recent_losses.decay(1.0 - 1.0 / _METER_BATCHES)
        self.recent_losses.merge(sums.meter)
        self.reporter.advance(sums.audio_sec, sums.meter.per_frame().get("loss", float("nan")))

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> LossMeter:
        """Losses over the validation batches in evaluation mode, each process taking its share of them.

        Random states are as before afterwards.
        """
        state = random_state.capture()
        self.system.eval()
        meter = LossMeter()
        for batch in itertools.islice(batches, self.group.rank, None, self.group.world_size):
            output = self._forward(self.system, batch)
            meter.add(_values(output), float(output.frames), len(batch["cut_ids"]))
        self.system.train()
        random_state.restore(state)
        total = LossMeter()
        for part in self.group.gather(meter):
            total.merge(part)
        return total

    def _finish_epoch(self, data: TrainingData, part: float) -> None:
        """Validate, decode some of the dev set, and write the weights of the epoch, or of the `part` of it there is."""
        progress, began = self.progress, time.perf_counter()
        # Each epoch has a sample, however short it is, so that every span of epochs has an average.
        if progress.step % self.config.average_period != 0:
            self.average.update(self.model)
        if not self.epoch_losses.frames:
            raise ValueError(f"epoch {progress.epoch} had no usable batch; see the filter and {self.bad_batches.path}.")
        valid = self.validate(data.valid_batches()).per_frame()
        figures = self._evaluate(data)
        progress.total_sec += time.perf_counter() - began
        record = {
            "epoch": progress.epoch,
            "part": part,
            "step": progress.step,
            "lr": self.scheduler.get_last_lr()[0],
            "train_sec": progress.epoch_sec,
            "audio_sec": progress.epoch_audio_sec,
            "audio_sec_per_sec": progress.audio_rate,
            "train": self.epoch_losses.per_frame(),
            "valid": valid,
            **figures,
            **data.epoch_facts(progress.epoch),
        }
        progress.epochs.append(record)
        shown = ", ".join(f"{name}={value:.4g}" for name, value in {**valid, **figures}.items())
        LOG.info(
            f"Epoch {progress.epoch}, validation: {shown}; trained in {clock(progress.epoch_sec)} "
            f"({progress.audio_rate:.1f} audio s/s), {clock(progress.total_sec)} in all."
        )
        self.reporter.scalars("train/valid_", {**valid, **figures}, progress.step)
        is_best = valid["loss"] < progress.best_valid_loss
        if is_best:
            progress.best_valid_loss, progress.best_valid_epoch = valid["loss"], progress.epoch
        if self.group.is_main:
            self._save_weights(is_best)

    def _begin_next_epoch(self) -> None:
        progress = self.progress
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.epoch_sec = progress.epoch_audio_sec = 0.0
        self.epoch_losses.clear()
        self.resume_points.save()
        self._write_summary(stopped_by=None)

    def _evaluate(self, data: TrainingData) -> Dict[str, float]:
        interval = self.config.decode_interval
        if not interval or self.progress.epoch % interval:
            return {}
        figures: Dict[str, float] = {}
        if self.group.is_main:
            state = random_state.capture()
            self.system.eval()
            with torch.no_grad(), self._epoch_average():
                figures = self.system.figures(data.figure_batches())
            self.system.train()
            random_state.restore(state)
        return self.group.gather(figures)[0]

    @contextlib.contextmanager
    def _epoch_average(self) -> Iterator[None]:
        """Give the model the mean of this epoch's samples, as decoding does, and its own weights back afterwards.

        On small batches the last weights alone are so noisy that their error rates say little.
        """
        before = epoch_path(self.exp_dir, self.progress.epoch - 1)
        own = {name: value.clone() for name, value in self.model.state_dict().items()}
        start = load_checkpoint(before) if before.is_file() else None
        self.model.load_state_dict(span_average(start, {"model": own, **self._average_and_place()}))
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def _average_and_place(self) -> Dict[str, Any]:
        return {
            "model_avg": self.average.state_dict(),
            "epoch": self.progress.epoch,
            "step": self.progress.step,
        }

    def _save_weights(self, is_best: bool) -> None:
        path = epoch_path(self.exp_dir, self.progress.epoch)
        state = {
            "model": {name: value.detach().cpu() for name, value in self.model.state_dict().items()},
            **self._average_and_place(),
        }
        save_checkpoint(path, state)
        if is_best:
            with replacing(self.exp_dir / "best-valid-loss.pt") as temporary:
                temporary.write_bytes(path.read_bytes())

    def _write_summary(self, stopped_by: Optional[str]) -> Dict[str, Any]:
        progress = self.progress
        num_epochs = len(progress.epochs)
        num_whole = sum(record["part"] for record in progress.epochs)
        summary = {
            "finished": stopped_by is not None,
            "stopped_by": stopped_by,
            "num_epochs": num_epochs,
            "num_steps": progress.step,
            "train_sec": progress.total_sec,
            "train_sec_per_epoch": sum(record["train_sec"] for record in progress.epochs) / max(1e-9, num_whole),
            "best_valid_epoch": progress.best_valid_epoch,
            "bad_batches": progress.bad_batches,
            **self.facts,
            "epochs": progress.epochs,
        }
        if self.group.is_main:
            write_json(self.exp_dir / "train.json", summary)
        return summary


def _values(output: Losses) -> Dict[str, float]:
    """The total (as "loss") and its parts as numbers, in one transfer from the device."""
    tensors: Dict[str, Tensor] = {"loss": output.total.detach(), **output.parts}
    return dict(zip(tensors, torch.stack([value.float() for value in tensors.values()]).tolist()))


def _grouped(batches: Iterable[Batch], size: int) -> Iterator[List[Batch]]:
    group: List[Batch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
