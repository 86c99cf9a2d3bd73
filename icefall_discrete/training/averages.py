"""The weights that training leaves, and the averages made of them.

`epoch-N.pt` holds what decoding and averaging need: "model", "model_avg" and "step". `checkpoint-<step>.pt` holds
everything that training needs to go on as if it had never stopped.
"""

import dataclasses
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, TypeVar

import torch
from torch import Tensor, nn

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.checkpoint import holding_what_we_write, load_checkpoint, save_checkpoint
from icefall_discrete.base.provenance import Provenance, noting_files
from icefall_discrete.base.settings import setting
from icefall_discrete.base.shapes import COUNT, FROM_0, OBJECTS, TEXT, WHOLE, or_null, read_shaped, require

StateDict = Dict[str, Tensor]
_SECONDS = {name: or_null(FROM_0) for name in ("train_sec", "train_sec_per_epoch", "audio_sec", "max_minutes")}
_SUMMARY = {
    "epochs": OBJECTS,
    "num_epochs": WHOLE,
    "stopped_by": or_null(TEXT),
    "best_valid_epoch": or_null(WHOLE),
    **_SECONDS,
    "cpu_sec": or_null(FROM_0),
}
_EPOCH = {"epoch": or_null(COUNT), **_SECONDS}
AVERAGED = "averaged.pt"  # weights alone: what is handed on
PUBLISHED = "model.safetensors"  # the same in a model folder, which holds no pickles
AVERAGE_RECORD = "average.json"  # what they are made from, and their digest


A = TypeVar("A", bound="AverageConfig")


@dataclasses.dataclass(frozen=True)
class AverageConfig:
    """Which weights are decoded with, under icefall's names."""

    epoch: int = setting(0, "last epoch of the average; 0: the last one trained", minimum=0)
    avg: int = setting(9, "number of epochs in the average; fewer if fewer were trained before --epoch", minimum=1)
    use_averaged_model: bool = setting(True, "average over all steps of those epochs, not over their last steps only")

    def resolved(self: A, epochs: Sequence[int], where: str) -> A:
        """The same with `epoch` and `avg` made definite for the saved `epochs` of the experiment `where`.

        Raises:
          ValueError: if there are no epochs, or the one asked for is not among them.
        """
        if not epochs:
            raise ValueError(f"{where} holds no epoch-N.pt; train first.")
        epoch = self.epoch or epochs[-1]
        if epoch not in epochs:
            raise ValueError(f"--epoch {epoch}: {where} holds epochs {epochs[0]} to {epochs[-1]}.")
        return dataclasses.replace(self, epoch=epoch, avg=max(1, min(self.avg, epoch)))


def epoch_path(exp_dir: PathLike, epoch: int) -> Path:
    """Path of the weights after `epoch`."""
    return Path(exp_dir) / f"epoch-{epoch}.pt"


def epochs_of(config: AverageConfig) -> List[int]:
    """The epochs whose weights a resolved average reads, ascending; an average over all steps reads both ends."""
    first = config.epoch - config.avg
    epochs = [first, config.epoch] if config.use_averaged_model else range(first + 1, config.epoch + 1)
    return [epoch for epoch in epochs if epoch > 0]


def saved_epochs(exp_dir: PathLike) -> List[int]:
    """Epochs that have weights in the experiment folder, ascending."""
    found = (re.fullmatch(r"epoch-(\d+)\.pt", path.name) for path in Path(exp_dir).glob("epoch-*.pt"))
    return sorted(int(match.group(1)) for match in found if match)


def read_summary(path: Path) -> Dict[str, Any]:
    """What train.json says of a training. Raises FileNotFoundError, ValueError with file and key."""
    advice = "run stage 6 (train.py) again, which writes it anew"
    summary = read_shaped(path, _SUMMARY, advice)
    for place, record in enumerate(summary["epochs"]):
        try:
            require(record, _EPOCH, f"entry {place} of 'epochs'")
        except ValueError as error:
            raise ValueError(f"{path}: {error}; {advice}.") from None
    return summary


def trained_epochs(exp_dir: PathLike) -> List[int]:
    """Epochs that were trained, ascending, as train.json has it; those with weights are with them."""
    path = Path(exp_dir) / "train.json"
    records = read_summary(path)["epochs"] if path.is_file() else []
    if not all(record.get("epoch") for record in records):
        raise ValueError(f"{path}: an entry of 'epochs' has no 'epoch'; run stage 6 (train.py) again.")
    return sorted({*saved_epochs(exp_dir), *(record["epoch"] for record in records)})


def lost_epochs(exp_dir: PathLike) -> List[int]:
    """Epochs that were trained and whose weights are missing or cut short, ascending."""
    # The directory of a zip file is at its end.
    return [epoch for epoch in trained_epochs(exp_dir) if not zipfile.is_zipfile(epoch_path(exp_dir, epoch))]


def require_epochs(exp_dir: PathLike, epochs: Sequence[int]) -> None:
    """Raise ValueError if the weights of some of `epochs`, which were trained, are missing or cut short."""
    lost = lost_epochs(exp_dir)
    for epoch in epochs:
        if epoch in lost:
            path = epoch_path(exp_dir, epoch)
            whole = ", ".join(str(one) for one in trained_epochs(exp_dir) if one not in lost)
            raise ValueError(
                f"{path} {'is cut short' if path.is_file() else 'is missing'}, though epoch {epoch} was trained; run "
                "stage 6 (train.py) again, which restores it if a checkpoint still holds it, or choose other epochs "
                f"with --epoch and --avg (whole: {whole or 'none'})."
            )


def restore_epochs(exp_dir: PathLike) -> List[str]:
    """Write lost weights of epochs again, from checkpoints that were saved right after them; returns the files' names.

    Those that no checkpoint holds stay lost. A cut-short file is replaced.
    """
    lost, restored = lost_epochs(exp_dir), []
    for path in reversed(training_checkpoints(exp_dir) if lost else []):
        state = load_checkpoint(path)
        with holding_what_we_write(path):
            progress = state.get("progress", {})
            epoch = progress.get("epoch", 0) - 1
            if progress.get("batch") == 0 and epoch in lost:
                weights = {name: state[name] for name in ("model", "model_avg")}
                save_checkpoint(epoch_path(exp_dir, epoch), {**weights, "epoch": epoch, "step": state["step"]})
                restored.append(epoch_path(exp_dir, epoch).name)
    return restored


def training_checkpoints(exp_dir: PathLike) -> List[Path]:
    """The `checkpoint-<step>.pt` files of the experiment folder, oldest first."""
    numbered = {
        int(match.group(1)): path
        for path in Path(exp_dir).glob("checkpoint-*.pt")
        if (match := re.fullmatch(r"checkpoint-(\d+)\.pt", path.name))
    }
    return [numbered[step] for step in sorted(numbered)]


def remove_old_checkpoints(exp_dir: PathLike, keep_last_k: int) -> None:
    """Keep the newest `keep_last_k` (at least one) training checkpoints and remove the others."""
    for path in training_checkpoints(exp_dir)[: -max(keep_last_k, 1)]:
        path.unlink()


def remove_old_epochs(exp_dir: PathLike, keep: int, best: int) -> None:
    """Keep the weights of the last `keep` epochs (0: of all) and of the epoch `best`, and remove the others."""
    for epoch in saved_epochs(exp_dir)[:-keep] if keep else ():
        if epoch != best:
            epoch_path(exp_dir, epoch).unlink()


class RunningAverage:
    """Mean of a module's weights over all steps so far, in float64, sampled every `period` steps.

    After n samples w_1 ... w_n the average is a_n = a_{n-1} + (w_n - a_{n-1}) / n, which is their arithmetic mean.
    `count` is n. Float64 because two such means are subtracted later (`span_average`), which multiplies their
    rounding errors by n. Entries that are not floating point are copied, not averaged.
    """

    def __init__(self, module: nn.Module) -> None:
        self.count = 0
        self.weights: StateDict = {name: _wide(value) for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one more sample of the module's weights."""
        self.count += 1
        for name, value in module.state_dict().items():
            mean = self.weights[name]
            if mean.is_floating_point():
                mean.add_(value.to(torch.float64) - mean, alpha=1.0 / self.count)
            else:
                mean.copy_(value)

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"count": self.count, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, onto the devices of the current weights."""
        require(state, {"count": WHOLE}, "its 'average'")
        self.count = state["count"]
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)


def _wide(value: Tensor) -> Tensor:
    return value.detach().to(torch.float64, copy=True) if value.is_floating_point() else value.detach().clone()


def mean_of(states: Sequence[StateDict]) -> StateDict:
    """Arithmetic mean of state dicts, summed in float64; entries that are not floating point come from the last."""
    result: StateDict = {}
    for name, last in states[-1].items():
        if last.is_floating_point():
            total = sum((state[name].to(torch.float64) for state in states), torch.zeros((), dtype=torch.float64))
            result[name] = (total / len(states)).to(last.dtype)
        else:
            result[name] = last.clone()
    return result


def span_average(start: Optional[Mapping[str, Any]], end: Mapping[str, Any]) -> StateDict:
    """Mean of the weights sampled after checkpoint `start` up to checkpoint `end`, from their running averages.

    Let w_1, w_2, ... be the samples and a_n their running mean (`RunningAverage`), with s samples at `start` and e at
    `end`, s < e. The sum of the samples between them is

        w_{s+1} + ... + w_e = (w_1 + ... + w_e) - (w_1 + ... + w_s) = e a_e - s a_s,

    so their mean is (e a_e - s a_s) / (e - s): two files give the mean over every sample of a span of epochs.
    `start` None means s = 0: the mean since training began.

    Args:
      start, end: contents of `epoch-N.pt`.
    Raises:
      ValueError: if no sample was taken between them.
    """
    last = end["model"]
    end_count, end_weights = end["model_avg"]["count"], end["model_avg"]["weights"]
    start_count = start["model_avg"]["count"] if start else 0
    if end_count <= start_count:
        raise ValueError(
            f"no sample of the weights was taken between step {start['step'] if start else 0} and step {end['step']}; "
            "average more epochs (--avg), train with a smaller --average-period, or use --use-averaged-model 0."
        )
    result: StateDict = {}
    for name, value in last.items():
        if not value.is_floating_point():
            result[name] = value.clone()
            continue
        total = end_weights[name] * end_count
        if start:
            # A checkpoint is read onto the CPU; the running training may be on a device.
            total = total - start["model_avg"]["weights"][name].to(total.device) * start_count
        result[name] = (total / (end_count - start_count)).to(value.dtype)
    return result


def average_epochs(exp_dir: PathLike, epoch: int, avg: int, use_averaged_model: bool) -> StateDict:
    """Weights averaged over the `avg` epochs that end with `epoch`, with icefall's meaning of the flags.

    Args:
      epoch: last epoch of the span. avg: number of epochs in it; 1 without `use_averaged_model` is `epoch` itself.
      use_averaged_model: mean over all samples of the span (`span_average`), else over the `avg` files' last weights.
    Raises:
      ValueError: if the span begins before the first epoch. FileNotFoundError: if a checkpoint is missing.
    """
    if avg < 1 or avg > epoch:
        raise ValueError(f"--avg {avg} with --epoch {epoch}: expected between 1 and {epoch} epochs to average.")
    with holding_what_we_write(epoch_path(exp_dir, epoch)):
        if use_averaged_model:
            start = _of_epoch(exp_dir, epoch - avg) if epoch > avg else None
            return span_average(start, _of_epoch(exp_dir, epoch))
        return mean_of([_of_epoch(exp_dir, one)["model"] for one in range(epoch - avg + 1, epoch + 1)])


def save_averaged(exp_dir: PathLike, weights: StateDict, made_from: Provenance) -> Path:
    """Write averaged.pt, and beside it what it is made from with the file's own digest."""
    path, record = Path(exp_dir) / AVERAGED, Path(exp_dir) / AVERAGE_RECORD
    record.unlink(missing_ok=True)
    save_checkpoint(path, {"model": weights})
    noting_files(made_from, exp_dir, [AVERAGED]).write(record)
    return path


def _of_epoch(exp_dir: PathLike, epoch: int) -> Dict[str, Any]:
    """What the file of an epoch holds. Raises ValueError if it is that of another one."""
    path = epoch_path(exp_dir, epoch)
    state = load_checkpoint(path)
    if state.get("epoch", epoch) != epoch:
        raise ValueError(
            f"{path} holds the weights of epoch {state['epoch']}; put back its own, or choose other epochs."
        )
    return state
