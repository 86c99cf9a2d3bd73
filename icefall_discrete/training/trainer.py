"""The loop: epochs, steps, validation, checkpoints; resumed exactly where it stopped."""

import contextlib
import dataclasses
import logging
import math
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional

import torch
from torch import Tensor, nn

from icefall_discrete.atomic_files import replacing
from icefall_discrete.config import setting, write_json
from icefall_discrete.models.scaling import Whiten, set_batch_count
from icefall_discrete.training import random_state
from icefall_discrete.training.bad_batches import BadBatches
from icefall_discrete.training.checkpoint import (
    RunningAverage,
    epoch_path,
    load_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
    span_average,
    training_checkpoints,
)
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.eden import Eden
from icefall_discrete.training.meters import LossMeter, clock
from icefall_discrete.training.objective import ModelBatch, Objective, ObjectiveOutput
from icefall_discrete.training.precision import PRECISIONS, Precision
from icefall_discrete.training.progress import Progress, Reporter

LOG = logging.getLogger(__name__)
Batch = Mapping[str, Any]

# Batches after which the running loss of the log has forgotten a batch to 1/e, as in icefall.
_METER_BATCHES = 200


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long, how fast and in which numbers to train."""

    num_epochs: int = setting(30, "number of epochs")
    max_minutes: float = setting(
        0.0, "stop after an epoch if one more like it would take training over this many minutes; 0: no limit"
    )
    base_lr: float = setting(0.045, "learning rate that Eden starts from")
    lr_batches: float = setting(7500.0, "Eden: steps after which the learning rate begins to fall")
    lr_epochs: float = setting(3.5, "Eden: epochs after which the learning rate begins to fall")
    lr_warmup_batches: float = setting(500.0, "Eden: steps over which the learning rate rises from half")
    clipping_scale: float = setting(2.0, "gradients are clipped at this multiple of their median size")
    ref_duration: float = setting(600.0, "seconds of audio that count as one batch in the schedules inside the model")
    accum_grad: int = setting(1, "batches whose gradients are added before a step")
    seed: int = setting(42, "seed of the model's initial weights, the order of batches and the augmentation")
    average_period: int = setting(200, "steps between samples of the weights for the averaged model")
    save_every_n: int = setting(4000, "steps between checkpoints within an epoch (one is written at its end as well)")
    keep_last_k: int = setting(2, "number of checkpoints to resume from that are kept")
    log_interval: int = setting(50, "batches between lines of the log")
    decode_interval: int = setting(0, "epochs between greedy decodings of some of the dev set; 0: none")
    decode_utterances: int = setting(100, "number of dev utterances in those decodings")
    max_bad_batches: int = setting(10, "batches with a non-finite loss or gradient to leave out before stopping")
    precision: str = setting("fp32", "number format of the forward pass", choices=PRECISIONS)
    device: str = setting("auto", "auto: CUDA where there is a device", choices=("auto", "cpu", "cuda"))
    num_threads: int = setting(0, "threads of torch; 0: as the environment says")
    tensorboard: bool = setting(True, "write TensorBoard curves")

    def __post_init__(self) -> None:
        for name in ("num_epochs", "accum_grad", "average_period", "save_every_n", "log_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1.")


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Where batches come from.

    train_batches: (epoch from 1, number of batches to leave out) -> batches. valid_batches: () -> batches.
    to_model: batch -> ModelBatch on the device. epoch_audio_sec: seconds of audio in an epoch, over all processes.
    """

    train_batches: Callable[[int, int], Iterable[Batch]]
    valid_batches: Callable[[], Iterable[Batch]]
    to_model: Callable[[Batch], ModelBatch]
    epoch_audio_sec: float


class Trainer:
    """Train an objective on batches, and leave `epoch-N.pt`, checkpoints and `train.json` in the experiment folder.

    Args:
      objective: model and losses, on its device.
      optimizer, scheduler: their optimiser and its learning rate schedule.
      config: the settings.
      exp_dir: the experiment folder.
      group: the processes that train together.
      facts: what train.json says besides (backend, parameters, ...).
      evaluate: model -> figures (such as {"wer": 42.0}), called every `decode_interval` epochs; optional.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        scheduler: Eden,
        config: TrainConfig,
        exp_dir: Path,
        group: Group,
        facts: Mapping[str, Any],
        evaluate: Optional[Callable[[nn.Module], Dict[str, float]]] = None,
    ) -> None:
        self.model = objective.model
        self.objective: nn.Module = objective
        self._bare_objective = objective
        self.device = next(objective.parameters()).device
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.config = config
        self.exp_dir = exp_dir
        self.group = group
        self.facts = dict(facts)
        self.evaluate = evaluate
        self.precision = Precision(config.precision, self.device.type)
        self.average = RunningAverage(self.model)
        self.progress = Progress()
        self.epoch_losses = LossMeter()
        self.recent_losses = LossMeter()
        self.bad_batches = BadBatches(exp_dir, config.max_bad_batches, group.is_main)
        self.reporter = Reporter(exp_dir, group.is_main, config.tensorboard)
        self._saved_step = -1
        if group.world_size > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            # Random skips leave some parameters out of some steps.
            self.objective = nn.parallel.DistributedDataParallel(
                objective, device_ids=devices, find_unused_parameters=True
            )

    def fit(self, data: TrainingData) -> Dict[str, Any]:
        """Train to the end, from the newest checkpoint if there is one; return what train.json holds.

        Raises:
          RuntimeError: if more than `max_bad_batches` batches were not finite.
        """
        self._resume()
        stopped_by = "num_epochs"
        while self.progress.epoch <= self.config.num_epochs:
            if self._out_of_time():
                stopped_by = "max_minutes"
                break
            self._train_epoch(data)
            self._finish_epoch(data)
        self.reporter.close()
        return self._write_summary(stopped_by)

    def _train_epoch(self, data: TrainingData) -> None:
        progress, config = self.progress, self.config
        self.scheduler.step_epoch(progress.epoch - 1)
        self.model.set_epoch(progress.epoch)
        self.objective.train()
        LOG.info(f"Epoch {progress.epoch} of {config.num_epochs}: {clock(data.epoch_audio_sec)} of audio.")
        with self.reporter.epoch(progress.epoch, data.epoch_audio_sec, progress.epoch_audio_sec):
            mark = time.perf_counter()
            for group in _grouped(data.train_batches(progress.epoch, progress.batch), config.accum_grad):
                meter, audio_sec = self._step(group, data)
                now = time.perf_counter()
                self._advance(now - mark, audio_sec, meter)
                if progress.batch // config.log_interval != (progress.batch - len(group)) // config.log_interval:
                    left = progress.seconds_left(data.epoch_audio_sec, config.num_epochs)
                    self.reporter.batch(progress, meter, self.recent_losses, self.scheduler.get_last_lr()[0], left)
                if progress.step % config.save_every_n == 0 and progress.step != self._saved_step:
                    self._save_training_state()
                mark = time.perf_counter()
        # Each epoch has a sample, however short it is, so that every span of epochs has an average.
        if progress.step % config.average_period != 0:
            self.average.update(self.model)

    def _step(self, batches: List[Batch], data: TrainingData) -> "tuple[LossMeter, float]":
        """One optimiser step on the summed gradients of `batches`; none, and a record, if something is not finite."""
        set_batch_count(self.model, self.progress.audio_sec / self.config.ref_duration)
        meter, reason = LossMeter(), None
        for batch in batches:
            output = self._forward(self.objective, data.to_model(batch))
            self.precision.backward(output.total)
            sums = _values(output)
            if not math.isfinite(sums["loss"]):
                guilty = [cut_id for cut_id, finite in zip(batch["cut_ids"], output.finite.tolist()) if not finite]
                reason = f"the loss is not finite (cuts {', '.join(guilty) or 'unknown'})"
            meter.add(sums, float(output.frames), len(batch["cut_ids"]))
        self.progress.batch += len(batches)
        if reason is None and not self.precision.overflows_are_expected and not self._gradients_are_finite():
            reason = "a gradient is not finite"
        if self.group.any(reason is not None, self.device):
            self.optimizer.zero_grad(set_to_none=True)
            self.bad_batches.leave_out(batches, reason or "not finite in another process", self.progress)
            meter = LossMeter()
        else:
            self.progress.step += 1
            self.scheduler.step_batch(self.progress.step)
            self.precision.step(self.optimizer)
            self.optimizer.zero_grad(set_to_none=True)
            if self.progress.step % self.config.average_period == 0:
                self.average.update(self.model)
        audio_sec = sum(float(batch["duration_sec"].sum()) for batch in batches)
        return meter, self.group.sum({"audio": audio_sec}, self.device)["audio"]

    def _forward(self, objective: nn.Module, batch: ModelBatch) -> ObjectiveOutput:
        with self.precision.autocast():
            return objective(batch.frames, batch.frame_lens, batch.labels, batch.label_lens, self.progress.step)

    def _gradients_are_finite(self) -> bool:
        # A sum is not finite if one of its terms is not; one number for all keeps the device busy.
        sums = [parameter.grad.sum() for parameter in self.model.parameters() if parameter.grad is not None]
        return bool(torch.stack(sums).sum().isfinite())

    def _advance(self, wall_sec: float, audio_sec: float, meter: LossMeter) -> None:
        progress = self.progress
        progress.audio_sec += audio_sec
        progress.epoch_audio_sec += audio_sec
        progress.epoch_sec += wall_sec
        progress.total_sec += wall_sec
        self.epoch_losses.add(meter.sums, meter.frames, meter.utterances)
        self.recent_losses.decay(1.0 - 1.0 / _METER_BATCHES)
        self.recent_losses.add(meter.sums, meter.frames, meter.utterances)
        self.reporter.advance(audio_sec, meter.per_frame().get("loss", float("nan")))

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch], to_model: Callable[[Batch], ModelBatch]) -> LossMeter:
        """Losses over the validation batches in evaluation mode; random states are as before afterwards."""
        state = random_state.capture()
        self.objective.eval()
        meter = LossMeter()
        for batch in batches:
            output = self._forward(self._bare_objective, to_model(batch))
            meter.add(_values(output), float(output.frames), len(batch["cut_ids"]))
        self.objective.train()
        random_state.restore(state)
        return meter

    def _finish_epoch(self, data: TrainingData) -> None:
        progress, began = self.progress, time.perf_counter()
        if not self.epoch_losses.frames:
            raise ValueError(f"epoch {progress.epoch} had no usable batch; see the filter and {self.bad_batches.path}.")
        valid = self.validate(data.valid_batches(), data.to_model).per_frame()
        figures = self._evaluate()
        progress.total_sec += time.perf_counter() - began
        record = {
            "epoch": progress.epoch,
            "step": progress.step,
            "lr": self.scheduler.get_last_lr()[0],
            "train_sec": progress.epoch_sec,
            "audio_sec": progress.epoch_audio_sec,
            "audio_sec_per_sec": progress.audio_rate,
            "train": self.epoch_losses.per_frame(),
            "valid": valid,
            **figures,
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
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.epoch_sec = progress.epoch_audio_sec = 0.0
        self.epoch_losses = LossMeter()
        self._save_training_state()
        self._write_summary(stopped_by=None)

    def _evaluate(self) -> Dict[str, float]:
        interval = self.config.decode_interval
        if self.evaluate is None or not interval or self.progress.epoch % interval:
            return {}
        state = random_state.capture()
        self.model.eval()
        with torch.no_grad(), self._epoch_average():
            figures = self.evaluate(self.model)
        self.model.train()
        random_state.restore(state)
        return figures

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

    def _out_of_time(self) -> bool:
        """Whether one more epoch as long as the longest of the last two would go over `max_minutes`."""
        progress = self.progress
        if not self.config.max_minutes or not progress.epochs or progress.batch > 0:
            return False
        per_epoch = max(record["train_sec"] for record in progress.epochs[-2:])
        others = progress.total_sec - sum(record["train_sec"] for record in progress.epochs)
        per_epoch += others / len(progress.epochs)
        return progress.total_sec + per_epoch > 60.0 * self.config.max_minutes

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

    def _save_training_state(self) -> None:
        """Write everything that `_resume` reads, and remove older ones."""
        states = self.group.gather(random_state.capture())
        self._saved_step = self.progress.step
        if not self.group.is_main:
            return
        state = {
            "model": self.model.state_dict(),
            "model_avg": self.average.state_dict(),
            "step": self.progress.step,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.precision.state_dict(),
            "whiten": {name: part.prob for name, part in self._whitens()},
            "progress": self.progress.state_dict(),
            "epoch_losses": self.epoch_losses.state_dict(),
            "recent_losses": self.recent_losses.state_dict(),
            "random": states,
        }
        save_checkpoint(self.exp_dir / f"checkpoint-{self.progress.step}.pt", state)
        remove_old_checkpoints(self.exp_dir, self.config.keep_last_k)

    def _resume(self) -> None:
        found = training_checkpoints(self.exp_dir)
        if not found:
            return
        state = load_checkpoint(found[-1])
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["model_avg"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.precision.load_state_dict(state["precision"])
        for name, part in self._whitens():
            part.prob = state["whiten"][name]
        self.progress.load_state_dict(state["progress"])
        self.epoch_losses.load_state_dict(state["epoch_losses"])
        self.recent_losses.load_state_dict(state["recent_losses"])
        states = state["random"]
        if self.group.rank < len(states):
            random_state.restore(states[self.group.rank])
        self._saved_step = self.progress.step
        LOG.info(f"Resumed from {found[-1].name}: epoch {self.progress.epoch}, after batch {self.progress.batch}.")

    def _whitens(self) -> "Iterator[tuple[str, Whiten]]":
        # How often a Whiten acts depends on what it saw last; that is neither a parameter nor a buffer.
        return ((name, part) for name, part in self.model.named_modules() if isinstance(part, Whiten))

    def _write_summary(self, stopped_by: Optional[str]) -> Dict[str, Any]:
        progress = self.progress
        num_epochs = len(progress.epochs)
        summary = {
            "finished": stopped_by is not None,
            "stopped_by": stopped_by,
            "num_epochs": num_epochs,
            "num_steps": progress.step,
            "train_sec": progress.total_sec,
            "train_sec_per_epoch": sum(record["train_sec"] for record in progress.epochs) / max(1, num_epochs),
            "best_valid_epoch": progress.best_valid_epoch,
            "bad_batches": progress.bad_batches,
            **self.facts,
            "epochs": progress.epochs,
        }
        if self.group.is_main:
            write_json(self.exp_dir / "train.json", summary)
        return summary


def _values(output: ObjectiveOutput) -> Dict[str, float]:
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
