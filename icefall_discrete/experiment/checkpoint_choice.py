"""Which checkpoints of an experiment are decoded, with icefall's flags, and the suffix their files carry."""

import dataclasses
from pathlib import Path
from typing import List

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.checkpoint import holding_what_we_write, load_checkpoint
from icefall_discrete.base.guarded_pickle import tensors_of
from icefall_discrete.base.provenance import require_as_made
from icefall_discrete.base.settings import setting
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.experiment.model_list import check_model_folder, is_published
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.training.averages import (
    AVERAGE_RECORD,
    AVERAGED,
    PUBLISHED,
    AverageConfig,
    StateDict,
    average_epochs,
    epoch_path,
    epochs_of,
    mean_of,
    require_epochs,
    saved_epochs,
    span_average,
    trained_epochs,
    training_checkpoints,
)


@dataclasses.dataclass(frozen=True)
class CheckpointChoice(AverageConfig):
    """Which weights are decoded with, under icefall's names; of epochs, or of checkpoints within them."""

    iter: int = setting(
        0, "take checkpoint-<iter>.pt, and those before it, instead of epochs; 0: take epochs", minimum=0
    )
    checkpoint: str = setting(
        "", "take the weights of this file of the experiment, such as averaged.pt, as they are; empty: no"
    )

    @property
    def suffix(self) -> str:
        """The checkpoints' part of a file name: `epoch-30_avg-9`, as icefall writes it."""
        if self.checkpoint:
            return Path(self.checkpoint).stem
        return (f"iter-{self.iter}" if self.iter else f"epoch-{self.epoch}") + f"_avg-{self.avg}"


def _handed_on(exp_dir: PathLike) -> str:
    """The file of weights in a folder that was handed on, without epochs; empty: it was not."""
    files = [name for name in (AVERAGED, PUBLISHED) if (Path(exp_dir) / name).is_file()]
    return files[0] if files and not saved_epochs(exp_dir) else ""


def resolve_choice(choice: CheckpointChoice, exp_dir: PathLike) -> CheckpointChoice:
    """Make `epoch` and `avg` definite for the checkpoints there are (`avg` is lowered where there are fewer).

    A folder that was handed on, with averaged.pt or model.safetensors and no epochs, is decoded with that file where
    nothing else is asked.

    Raises:
      ValueError: if the experiment has no such checkpoint, or lost it; the message says which it has.
    """
    if not choice.checkpoint and not choice.epoch and not choice.iter and _handed_on(exp_dir):
        choice = dataclasses.replace(choice, checkpoint=_handed_on(exp_dir))
    if choice.checkpoint:
        path = Path(exp_dir) / choice.checkpoint
        if not path.is_file():
            there = ", ".join(sorted(file.name for file in Path(exp_dir).glob("*.pt"))) or "none"
            raise ValueError(f"--checkpoint {choice.checkpoint}: {path} does not exist; there are: {there}.")
        return dataclasses.replace(choice, epoch=0, avg=1, iter=0, use_averaged_model=False)
    if not choice.iter:
        resolved = choice.resolved(trained_epochs(exp_dir), str(exp_dir))
        require_epochs(exp_dir, epochs_of(resolved))
        return resolved
    steps = [_step_of(path) for path in training_checkpoints(exp_dir)]
    if choice.iter not in steps:
        there = ", ".join(f"checkpoint-{step}.pt" for step in steps) or "none"
        raise ValueError(f"--iter {choice.iter}: {exp_dir} holds {there}; choose one of them, or an epoch.")
    spans = sum(step <= choice.iter for step in steps) - choice.use_averaged_model
    if spans < 1:
        raise ValueError(
            f"--iter {choice.iter}: an average of the steps up to there needs an older checkpoint to start from, and "
            f"{exp_dir} has none; use --use-averaged-model 0, or train with a larger --keep-last-k."
        )
    return dataclasses.replace(choice, epoch=0, avg=max(1, min(choice.avg, spans)))


def _step_of(path: Path) -> int:
    return int(path.stem.split("-")[-1])


def _span_of_iterations(choice: CheckpointChoice, exp_dir: PathLike) -> List[Path]:
    """The checkpoints of the span, oldest first; for an averaged model also the one that it starts after."""
    paths = [path for path in training_checkpoints(exp_dir) if _step_of(path) <= choice.iter]
    return paths[-(choice.avg + choice.use_averaged_model) :]


def files_of(choice: CheckpointChoice, exp_dir: PathLike) -> List[Path]:
    """The checkpoint files that a resolved choice reads, oldest first."""
    if choice.checkpoint:
        return [Path(exp_dir) / choice.checkpoint]
    if choice.iter:
        return _span_of_iterations(choice, exp_dir)
    return [epoch_path(exp_dir, epoch) for epoch in epochs_of(choice)]


def load_weights(choice: CheckpointChoice, exp_dir: PathLike) -> StateDict:
    """Weights of a resolved choice, averaged. Raises FileNotFoundError or ValueError, naming the file."""
    if choice.checkpoint:
        return _weights_in(Path(exp_dir) / choice.checkpoint)
    if not choice.iter:
        return average_epochs(exp_dir, choice.epoch, choice.avg, choice.use_averaged_model)
    paths = _span_of_iterations(choice, exp_dir)
    states = [load_checkpoint(path) for path in paths]
    with holding_what_we_write(paths[-1]):
        if choice.use_averaged_model:
            return span_average(states[0], states[-1])
        return mean_of([state["model"] for state in states])


def load_into(network: FrameNetwork, choice: CheckpointChoice, exp_dir: PathLike) -> None:
    """Give `network` the weights of a resolved choice. Raises FileNotFoundError or ValueError, naming the file."""
    where = ", ".join(map(str, files_of(choice, exp_dir)))
    weights = load_weights(choice, exp_dir)
    require_finite(weights, where)
    network.load_trained(weights, where)


def _weights_in(path: Path) -> StateDict:
    if path.name == AVERAGED:
        require_as_made(path.with_name(AVERAGE_RECORD), "make it again with average.py")
    if path.name == PUBLISHED and is_published(path.parent):
        check_model_folder(path.parent)
    if path.suffix == Path(PUBLISHED).suffix:
        return read_tensors(path, "fetch the model again").tensors
    return tensors_of(load_checkpoint(path).get("model"), f"{path}, 'model',")
