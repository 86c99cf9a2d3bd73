"""Run a saved batch again with the weights and the noise it met, and see where it goes wrong."""

import dataclasses
import importlib
import math
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor, nn

from icefall_discrete.base.checkpoint import holding_what_we_write, load_checkpoint
from icefall_discrete.base.registry import packages_in
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.nn.loading import load_strictly
from icefall_discrete.training.averages import StateDict
from icefall_discrete.training.fit_folder import SYSTEM, read_system
from icefall_discrete.training.opponents import OPPONENTS
from icefall_discrete.training.precision import Precision
from icefall_discrete.training.resume import Noise
from icefall_discrete.training.system import System


@dataclasses.dataclass(frozen=True)
class Replay:
    """What a saved step did.

    loss: its total, in nats. parts: its terms before weighting. bad_cuts: cuts whose losses are not finite.
    first_bad_module: the module whose output was the first not to be finite while its inputs were, or None.
    bad_gradients: names of the parameters whose gradients are not finite. gradient_norm: norm of all gradients.
    reason: why it was saved. place: epoch, batch and step.
    """

    loss: float
    parts: Dict[str, float]
    bad_cuts: List[str]
    first_bad_module: Optional[str]
    bad_gradients: List[str]
    gradient_norm: float
    reason: str
    place: Dict[str, int]

    @property
    def is_finite(self) -> bool:
        """Whether losses and gradients are all finite."""
        return math.isfinite(self.loss) and not self.bad_gradients


def _tensors(value: Any) -> List[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (tuple, list)) else []


def _finite(value: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(value))


class _FirstBadModule:
    """Watches the outputs of all modules; `name` is the first that turned finite inputs into something else."""

    def __init__(self, model: nn.Module) -> None:
        self.name: Optional[str] = None
        for name, module in model.named_modules():
            module.register_forward_hook(self._hook(name))

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if self.name is None and not _finite(output) and _finite(inputs):
                self.name = name

        return look


def _system_of(exp_dir: Path, backend: str, weights: StateDict, where: str) -> System:
    """The system that a folder describes, an experiment or what its `system.json` says, with the weights of `where`."""
    if not (exp_dir / SYSTEM).is_file():
        experiment = Experiment(exp_dir)
        network = experiment.build_model()
        network.load_trained(weights, where)
        parts = (experiment.settings(), experiment.spec(), experiment.targets(), backend)
        return experiment.stages().system(network, *parts)
    name = read_system(exp_dir).name
    known = {path.rpartition(".")[2]: path for path in packages_in("icefall_discrete.systems")}
    if name not in known:
        raise ValueError(f"{exp_dir / SYSTEM}: unknown system '{name}'; known: {', '.join(known)}.")
    system = importlib.import_module(f"{known[name]}.system").from_folder(exp_dir)
    load_strictly(system.network, weights, where)
    return system


def replay(
    exp_dir: Path, path: Path, backend: str, device: torch.device, precision_name: Optional[str] = None
) -> Replay:
    """Forward and backward pass of a saved step, as in training; no weights change.

    Args:
      exp_dir: experiment folder, or that of another training. path: the saved step. backend: "k2" or "torch".
      device: where to run; exact where the step was made on the same kind of device.
      precision_name: another number format than the run's, to see whether that is the cause.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; give one that bad-batches.jsonl of {exp_dir} names.")
    with holding_what_we_write(path):
        return _replayed(exp_dir, path, backend, device, precision_name)


def _replayed(exp_dir: Path, path: Path, backend: str, device: torch.device, precision_name: Optional[str]) -> Replay:
    state = load_checkpoint(path)
    if not state["model"]:
        raise ValueError(
            f"{path} was saved by one of processes that divided the weights, and holds none; go on from a checkpoint "
            "of before with --sharded 0, which saves the batch with them."
        )
    system = _system_of(exp_dir, backend, state["model"], str(path)).to(device).train()
    number_format = precision_name or state.get("number_format") or Experiment(exp_dir).settings().train.precision
    if system.opponents is not None:
        load_strictly(system.opponents.network, state[OPPONENTS], str(path))
    precision = Precision(number_format, device.type)
    precision.load_state_dict(state["precision"])
    watch = _FirstBadModule(system.network)
    system.begin_epoch(state["place"]["epoch"])
    system.set_batch_count(state["batch_count"])
    Noise(system).load_state_dict(state["noise"])
    parts: Dict[str, float] = {}
    loss, bad_cuts = 0.0, []
    for batch in state["batches"]:
        prepared = system.prepare(batch, device)
        with precision.autocast():
            output = system.losses(prepared, state["place"]["step"])
        precision.backward(output.objective(num_batches=len(state["batches"])))
        loss += float(output.total.detach())
        for name, value in output.parts.items():
            parts[name] = parts.get(name, 0.0) + float(value)
        bad_cuts += [cut_id for cut_id, finite in zip(batch["cut_ids"], output.finite.tolist()) if not finite]
    gradients = {name: value.grad for name, value in system.network.named_parameters() if value.grad is not None}
    bad = [name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())]
    norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients.values())) / precision.scale
    return Replay(loss, parts, bad_cuts, watch.name, bad, norm, state["reason"], state["place"])
