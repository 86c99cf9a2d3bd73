"""The loop: epochs, steps, validation, checkpoints; resumed exactly where it stopped."""

import functools
import logging
import math
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import nn

from icefall_discrete.base.json_files import write_json
from icefall_discrete.nn.fused import compiled
from icefall_discrete.training.averages import RunningAverage
from icefall_discrete.training.bad_batches import BadBatches
from icefall_discrete.training.budget import TimeBudget
from icefall_discrete.training.distributed import Group, is_lost_peer
from icefall_discrete.training.epoch_weights import EpochWeights
from icefall_discrete.training.evaluation import Evaluation, values_of
from icefall_discrete.training.largest import try_batches
from icefall_discrete.training.meters import LossMeter, clock
from icefall_discrete.training.opponents import OPPONENTS, SideBySide
from icefall_discrete.training.optimization import Schedule
from icefall_discrete.training.placement import Stateful, place
from icefall_discrete.training.precision import Precision
from icefall_discrete.training.progress import Progress, Reporter
from icefall_discrete.training.resume import Noise, ResumePoints
from icefall_discrete.training.system import Batch, Losses, System
from icefall_discrete.training.train_config import TrainConfig
from icefall_discrete.training.training_data import TrainingData

LOG = logging.getLogger(__name__)

# Batches after which the running loss of the log has forgotten a batch to 1/e, as in icefall.
_METER_BATCHES = 200
_BAD_GRADIENT = "a gradient is not finite"


class _Sums(NamedTuple):
    """What a step adds up over its batches and all processes."""

    meter: LossMeter
    amount: float
    cpu_sec: float
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
      facts: what train.json says besides, such as the backend.
    """

    def __init__(
        self,
        system: System,
        optimizer: torch.optim.Optimizer,
        scheduler: Schedule,
        config: TrainConfig,
        exp_dir: Path,
        group: Group,
        facts: Mapping[str, Any],
    ) -> None:
        self.system = system
        self.model = system.network
        self.device = next(system.parameters()).device
        self.optimizer = optimizer
        if system.opponents is not None:
            self.optimizer = SideBySide(optimizer, system.opponents.optimizer)
        self.scheduler = scheduler
        self.config = config
        self.exp_dir = exp_dir
        self.group = group
        self.facts = {**self._usual_facts(), **facts}
        LOG.info(", ".join(f"{name} {value}" for name, value in self.facts.items()))
        self.precision = Precision(config.precision, self.device.type)
        self.placement = place(system, self.optimizer, config, group)
        self.average = RunningAverage(self.model)
        self.progress = Progress()
        self.budget = TimeBudget(config.max_minutes)
        self.epoch_losses = LossMeter()
        self.recent_losses = LossMeter()
        self.bad_batches = BadBatches(exp_dir, config.max_bad_batches, group, system)
        self.reporter = Reporter(exp_dir, group.is_main, config.tensorboard, config.tracker)
        self.noise = Noise(system)
        self.weights = EpochWeights(exp_dir, self.placement, self.average, self.progress)
        self.evaluation = Evaluation(self.placement, functools.partial(self._forward, system))
        self._mark, self._cpu_mark = time.perf_counter(), time.process_time()
        parts: Dict[str, Stateful] = {
            "model": self.model,
            "model_avg": self.average,
            "optimizer": self.optimizer,
            "scheduler": scheduler,
            "precision": self.precision,
            "epoch_losses": self.epoch_losses,
            "recent_losses": self.recent_losses,
        }
        if system.opponents is not None:
            parts[OPPONENTS] = system.opponents.network
        self.resume_points = ResumePoints(exp_dir, config.keep_last_k, self.placement, self.noise, self.progress, parts)

    def _usual_facts(self) -> Dict[str, Any]:
        return {
            "num_params": sum(value.numel() for value in self.model.parameters()),
            "num_trainable_params": sum(value.numel() for value in self.model.parameters() if value.requires_grad),
            "device": self.device.type,
            "precision": self.config.precision,
            "num_threads": torch.get_num_threads(),
            "world_size": self.group.world_size,
            "max_minutes": self.config.max_minutes,
        }

    def fit(self, data: TrainingData) -> Dict[str, Any]:
        """Train to the end, from the newest checkpoint if there is one; return what train.json holds.

        Raises:
          RuntimeError: if more than `max_bad_batches` batches were not finite, or a batch failed; it is saved.
          ValueError: if the network is to be compiled where that is not possible.
        """
        with compiled(self.config.compile, self.device.type):
            return self._trained(data)

    def _trained(self, data: TrainingData) -> Dict[str, Any]:
        self.resume_points.load_newest()
        self._warn_of_other_processes()
        if self.config.try_largest_batches:
            self._try_largest_batches(data)
        # Only now: its hooks would take part in the backward pass of the batches that were tried.
        self.placement.begin()
        stopped_by = None
        while stopped_by is None:
            stopped_by = self._why_stop()
            if stopped_by is None and not self._train_epoch(data):
                stopped_by = "max_minutes"
                self.resume_points.save()
                self._finish_epoch(data, self.progress.epoch_share(data.epoch_amount))
            elif stopped_by is None:
                self._finish_epoch(data, 1.0)
                self._begin_next_epoch()
        self.reporter.close()
        return self._write_summary(stopped_by)

    def _warn_of_other_processes(self) -> None:
        before = {record.get("world_size", self.group.world_size) for record in self.progress.epochs}
        if before - {self.group.world_size}:
            LOG.warning(
                f"{self.exp_dir}: epochs of before were trained by {', '.join(map(str, sorted(before)))} processes, "
                f"now there are {self.group.world_size}, with other batches; train.json says so of each epoch."
            )

    def _why_stop(self) -> Optional[str]:
        """The setting that ends training here, between epochs, if one does."""
        progress, config = self.progress, self.config
        if progress.epoch > config.num_epochs:
            return "num_epochs"
        if progress.batch > 0:
            return None
        since_best = progress.epoch - 1 - progress.best_epoch if progress.best_epoch else 0
        if 0 < config.patience <= since_best:
            return "patience"
        return "max_minutes" if self.group.any(not self.budget.allows_another_epoch(progress)) else None

    def _try_largest_batches(self, data: TrainingData) -> None:
        """Forward and backward pass of the largest batches; nothing that training depends on changes."""
        began, noise = time.perf_counter(), self.noise.state_dict()
        buffers = [(buffer, buffer.clone()) for buffer in self.system.buffers()]  # such as running statistics
        self.system.train()
        self.system.set_batch_count(self._batch_count())

        def run(batch: Batch) -> None:
            self._forward(self.system, batch).objective().backward()
            self.optimizer.zero_grad(set_to_none=True)

        try_batches(run, self.placement.tried(data.largest_batches()), self.device, self.system.if_too_large)
        for buffer, before in buffers:
            buffer.copy_(before)
        self.noise.load_state_dict(noise)
        self.progress.pass_time(time.perf_counter() - began, 0.0)

    def _batch_count(self) -> float:
        """How much was trained, in reference batches."""
        return self.config.first_batch_count + self.progress.amount / self.config.ref_duration

    def _train_epoch(self, data: TrainingData) -> bool:
        """Train on the rest of the epoch; return False if the time was up before its end."""
        progress, config = self.progress, self.config
        self.scheduler.step_epoch(progress.epoch - 1)
        self.system.begin_epoch(progress.epoch)
        self.system.train()
        LOG.info(f"Epoch {progress.epoch} of {config.num_epochs}: {data.unit.told(data.epoch_amount)}.")
        with self.reporter.epoch(progress.epoch, data.epoch_amount, progress.epoch_amount, data.unit):
            self._mark = time.perf_counter()
            for batches in _grouped(data.train_batches(progress.epoch, progress.batch), config.accum_grad):
                if config.fractional_epochs:
                    self.scheduler.step_epoch(progress.epoch - 1 + progress.epoch_share(data.epoch_amount))
                sums = self._step(batches, data)
                now = time.perf_counter()
                self._advance(now - self._mark, sums)
                if progress.batch // config.log_interval != (progress.batch - len(batches)) // config.log_interval:
                    self._report(sums.meter, data)
                if progress.step % config.save_every_n == 0 and progress.step != self.resume_points.saved_step:
                    self.resume_points.save()
                self._mark = time.perf_counter()
                if sums.out_of_time:
                    return False
        return True

    def _report(self, meter: LossMeter, data: TrainingData) -> None:
        left = self.progress.seconds_left(data.epoch_amount, self.config.num_epochs)
        budget = max(0.0, self.budget.seconds_left(self.progress))
        left = {name: min(seconds, budget) for name, seconds in left.items()}
        rate = self.scheduler.get_last_lr()[0]
        self.reporter.batch(self.progress, meter, self.recent_losses, rate, left, data.unit)

    def _step(self, batches: List[Batch], data: TrainingData) -> _Sums:
        """One optimiser step on the summed gradients of `batches`, over all processes.

        If something is not finite, there is no step but a record. Any error ends training, with its batch saved.
        """
        self.system.before_step(self.progress.step)
        noise = self.noise.state_dict()
        self.system.set_batch_count(self._batch_count())
        self.progress.batch += len(batches)
        snapshot = functools.partial(self._snapshot, batches, noise)
        try:
            meter, reason = self._backward(batches)
            sums = self._summed(meter, reason, sum(data.amount_of(batch) for batch in batches))
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
        for number, batch in enumerate(batches, 1):
            with self.placement.exchange_of_gradients(number == len(batches)):
                output = self._forward(self.placement.module, batch)
                # DistributedDataParallel gives the mean over the processes; totals are sums over utterances.
                self.precision.backward(output.objective(self.group.world_size, len(batches)))
            sums = values_of(output)
            if not math.isfinite(sums["loss"]):
                guilty = [cut_id for cut_id, finite in zip(batch["cut_ids"], output.finite.tolist()) if not finite]
                parts = [name for name, value in sums.items() if name != "loss" and not math.isfinite(value)]
                which = f"{', '.join(parts)}: " if parts else ""
                reason = f"the loss is not finite ({which}cuts {', '.join(guilty) or 'unknown'})"
            meter.add(sums, float(output.frames), len(batch["cut_ids"]))
        if reason is None and not self.precision.overflows_are_expected and not self.placement.gradients_are_finite():
            reason = _BAD_GRADIENT
        return meter, reason

    def _summed(self, meter: LossMeter, reason: Optional[str], amount: float) -> _Sums:
        """Add up a step's figures over the processes, in one exchange."""
        own = {
            "amount": amount,
            "cpu_sec": self._processor_time(),
            "is_bad": float(reason is not None),
            "out_of_time": float(self.budget.is_spent(self.progress, time.perf_counter() - self._mark)),
            "frames": meter.frames,
            "utterances": meter.utterances,
        }
        losses = {f"loss/{name}": value for name, value in meter.sums.items()}
        total = self.group.sum({**own, **losses}, self.device)
        everyone = LossMeter()
        everyone.add({name: total[f"loss/{name}"] for name in meter.sums}, total["frames"], total["utterances"])
        return _Sums(everyone, total["amount"], total["cpu_sec"], total["is_bad"] > 0, total["out_of_time"] > 0)

    def _update(self) -> None:
        self.progress.step += 1
        self.scheduler.step_batch(self.progress.step)
        if self.config.max_grad_norm:
            self.precision.unscale(self.optimizer)
            self.placement.shorten_gradients(self.config.max_grad_norm)
        self.precision.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        if self.progress.step % self.config.average_period == 0:
            self.average.update(self.model)

    def _snapshot(self, batches: List[Batch], noise: Mapping[str, Any], reason: Optional[str] = None) -> Dict[str, Any]:
        """What experiment/replay.py needs to do a step again."""
        progress, opponents = self.progress, self.system.opponents
        return {
            "batches": [dict(batch) for batch in batches],
            "model": self.placement.weights_at_hand(),
            "precision": self.precision.state_dict(),
            "number_format": self.config.precision,
            "noise": noise,
            "batch_count": self._batch_count(),
            "place": {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step},
            "reason": reason or "it raised an error",
            **({} if opponents is None else {OPPONENTS: opponents.network.state_dict()}),
        }

    def _forward(self, module: nn.Module, batch: Batch) -> Losses:
        prepared = self.system.prepare(batch, self.device)
        with self.precision.autocast():
            return module(prepared, self.progress.step)

    def _advance(self, wall_sec: float, sums: _Sums) -> None:
        progress = self.progress
        progress.amount += sums.amount
        progress.epoch_amount += sums.amount
        progress.epoch_sec += wall_sec
        progress.pass_time(wall_sec, sums.cpu_sec)
        self.epoch_losses.merge(sums.meter)
        self.recent_losses.decay(1.0 - 1.0 / _METER_BATCHES)
        self.recent_losses.merge(sums.meter)
        self.reporter.advance(sums.amount, sums.meter.per_frame().get("loss", float("nan")))

    def _processor_time(self) -> float:
        """That of this process since it was asked for last, in seconds."""
        before, self._cpu_mark = self._cpu_mark, time.process_time()
        return self._cpu_mark - before

    def _finish_epoch(self, data: TrainingData, part: float) -> None:
        """Validate, take figures, and write the weights of the epoch, or of the `part` of it there is."""
        progress, began = self.progress, time.perf_counter()
        # Each epoch has a sample, however short it is, so that every span of epochs has an average.
        if progress.step % self.config.average_period != 0:
            self.average.update(self.model)
        if not self.epoch_losses.frames:
            raise ValueError(f"epoch {progress.epoch} had no usable batch; see the filter and {self.bad_batches.path}.")
        valid = self._valid_losses(data)
        figures = self._figures(data)
        cpu_sec = self.group.sum({"cpu_sec": self._processor_time()}, self.device)["cpu_sec"]
        progress.pass_time(time.perf_counter() - began, cpu_sec)
        record = {
            "epoch": progress.epoch,
            "part": part,
            "step": progress.step,
            "lr": self.scheduler.get_last_lr()[0],
            "train_sec": progress.epoch_sec,
            data.unit.name: progress.epoch_amount,
            f"{data.unit.name}_per_sec": progress.rate,
            "world_size": self.group.world_size,
            "train": self.epoch_losses.per_frame(),
            "valid": valid,
            **figures,
            **data.epoch_facts(progress.epoch),
        }
        progress.epochs.append(record)
        shown = ", ".join(f"{name}={value:.4g}" for name, value in {**valid, **figures}.items())
        LOG.info(
            f"Epoch {progress.epoch}, {f'validation: {shown}; ' if shown else ''}trained in {clock(progress.epoch_sec)}"
            f" ({progress.rate:.1f} {data.unit.shown}/s), {clock(progress.total_sec)} in all."
        )
        self.reporter.scalars("train/valid_", {**valid, **figures}, progress.step)
        self._note_best({**valid, **figures})
        self.weights.save(self.config.keep_epochs)

    def _valid_losses(self, data: TrainingData) -> Dict[str, float]:
        try:
            return self.evaluation.losses(data.valid_batches()).per_frame()
        except RuntimeError as error:
            if is_lost_peer(error):
                raise
            raise RuntimeError(f"epoch {self.progress.epoch}: {error}") from error

    def _note_best(self, values: Mapping[str, float]) -> None:
        progress, name = self.progress, self.config.best_by
        if name in values and values[name] < progress.best_value:
            progress.best_value, progress.best_epoch = values[name], progress.epoch
        elif name not in values and (self._takes_figures() or not self.config.decode_interval) and values:
            LOG.warning(f"best_by is '{name}', but epochs are measured by {', '.join(values)}: none is the best.")

    def _begin_next_epoch(self) -> None:
        progress = self.progress
        self.scheduler.step_validation(progress.epochs[-1]["valid"].get("loss"))
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.epoch_sec = progress.epoch_amount = 0.0
        self.epoch_losses.clear()
        self.resume_points.save()
        self._write_summary(stopped_by=None)

    def _takes_figures(self) -> bool:
        interval = self.config.decode_interval
        return interval > 0 and self.progress.epoch % interval == 0

    def _figures(self, data: TrainingData) -> Dict[str, float]:
        if not self._takes_figures():
            return {}
        own = self.evaluation.figures(data.figure_batches(), self.weights.mean())
        return self.group.gather(own)[0]

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
            "cpu_sec": progress.cpu_sec,
            "train_sec_per_epoch": sum(record["train_sec"] for record in progress.epochs) / max(1e-9, num_whole),
            "best_valid_epoch": progress.best_epoch or None,
            "bad_batches": progress.bad_batches,
            **self.facts,
            "epochs": progress.epochs,
        }
        if self.group.is_main:
            write_json(self.exp_dir / "train.json", summary)
        return summary


def _grouped(batches: Iterable[Batch], size: int) -> Iterator[List[Batch]]:
    group: List[Batch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
