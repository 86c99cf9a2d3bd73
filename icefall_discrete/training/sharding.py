"""Weights, gradients and an optimiser's moments divided among processes, a layer gathered when it is needed.

PyTorch's fully_shard (FSDP2; the method is ZeRO-3, https://arxiv.org/abs/1910.02054, section 5.3): of each tensor a
process holds some rows. Files are those of a training of whole tensors.
"""

import contextlib
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Tuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from icefall_discrete.nn.module_row import ModuleRow
from icefall_discrete.training.averages import StateDict
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.placement import Placement, Stateful
from icefall_discrete.training.system import Batch, System

try:
    from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard
    from torch.distributed.tensor import DTensor, Replicate, distribute_tensor

    # Skips are drawn by each process: a parameter has a gradient in some and none in others.
    IS_OFFERED = hasattr(FSDPModule, "set_reduce_scatter_unused_params")
except ImportError:
    IS_OFFERED = False


def units_of(system: System) -> List[nn.Module]:
    """The layers that are gathered one by one, inner ones first: members of rows that have modules of their own."""
    rows = [module for module in system.modules() if isinstance(module, ModuleRow)]
    members = dict.fromkeys(layer for row in reversed(rows) for layer in row)
    return [layer for layer in members if any(True for _ in layer.children()) and any(True for _ in layer.parameters())]


def _refuse(system: System) -> None:
    """Raise ValueError where weights cannot be divided, or something would wait for ever."""
    if not IS_OFFERED:
        raise ValueError(
            f"--sharded 1 needs PyTorch's fully_shard with gradients that only some processes have, which torch "
            f"{torch.__version__} lacks and 2.13 has; install a newer torch, or set --sharded 0."
        )
    if system.opponents is not None or system.reads_weights:
        raise ValueError(
            "--sharded 1 is for systems whose weights are used by their losses alone; a discriminator or labels of the "
            "network itself are trained with here; set --sharded 0."
        )
    if any(getattr(module, "passes_over_layers", False) for module in system.modules()):
        raise ValueError(
            "--sharded 1 gathers each layer in all processes at once, and this encoder passes over layers, in each "
            "process others; set --layer-dropout 0, or --sharded 0."
        )


class Sharded(Placement):
    """Each process holds its rows of each tensor, and all of them parameters that are one number.

    Args:
      system: network and losses, whole; their parameters are replaced. optimizer: of them; it follows.
      group: the processes that train together.
    Raises:
      ValueError: if that is not possible.
    """

    def __init__(self, system: System, optimizer: Optimizer, group: Group) -> None:
        super().__init__(system, group)
        _refuse(system)
        self._mesh = mesh = init_device_mesh(next(system.parameters()).device.type, (group.world_size,))
        with torch.no_grad():
            for value in (*system.parameters(), *system.buffers()):
                dist.broadcast(value, 0)
        before = dict(system.named_parameters())
        # What has no rows; the optimiser sees it as a tensor of all processes too, of the same memory.
        self._numbers = {value: _of_all(value, mesh) for value in before.values() if value.ndim == 0}
        self._units = [*units_of(system), system]
        for unit in self._units:
            # Of the rest too: what is gathered outside a step must not outlast the next one.
            fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=set(self._numbers))
            _as_unit(unit).set_reduce_scatter_unused_params(True, recurse=False)
        now = {before[name]: self._numbers.get(value, value) for name, value in system.named_parameters()}
        for param_group in optimizer.param_groups:
            param_group["params"] = [now[value] for value in param_group["params"]]
        self._learnt = [value for param_group in optimizer.param_groups for value in param_group["params"]]
        system.register_forward_pre_hook(self._share_buffers)

    def _share_buffers(self, module: nn.Module, inputs: Any) -> None:
        """Running statistics are the first process's, as with DistributedDataParallel."""
        if module.training:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    @property
    def takes_part(self) -> bool:
        """See Placement: all do, whose rows are put together."""
        return True

    def whole(self, part: Stateful) -> Stateful:
        """See Placement."""
        return _WholeMoments(part, self.group) if isinstance(part, Optimizer) else _WholeTensors(part, self.group)

    def begin(self) -> None:
        """See Placement: all is prepared but what batches that were tried left."""
        for value in self._numbers:
            value.grad = None

    @contextlib.contextmanager
    def exchange_of_gradients(self, is_last: bool) -> Iterator[None]:
        """See Placement: layers do it in every pass, so that none keeps gradients of whole tensors."""
        yield
        if is_last and self._numbers:
            self._exchange_numbers()

    def _exchange_numbers(self) -> None:
        """The mean of their gradients over the processes, which the optimiser sees then."""
        zeros = (torch.zeros_like(value) for value in self._numbers)
        found = [zero if value.grad is None else value.grad for value, zero in zip(self._numbers, zeros)]
        together = torch.stack([gradient.float() for gradient in found])
        dist.all_reduce(together)
        for mean, (value, seen) in zip(together / self.group.world_size, self._numbers.items()):
            value.grad = None
            if seen.requires_grad:
                seen.grad = DTensor.from_local(mean.to(value.dtype), self._mesh, [Replicate()])

    def gradients_are_finite(self) -> bool:
        """See Placement."""
        gradients = [value.grad.to_local() for value in self._learnt if value.grad is not None]
        return bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all())

    def shorten_gradients(self, longest: float) -> None:
        """See Placement."""
        nn.utils.clip_grad_norm_(self._learnt, longest)

    def weights_at_hand(self) -> StateDict:
        """See Placement: none are whole."""
        return {}

    def share(self, batches: Iterable[Batch]) -> Iterator[Tuple[Batch, bool]]:
        """See Placement; all get as many, since they gather layers together: the first once more, uncounted."""
        first, number = None, -1
        for number, batch in enumerate(batches):
            first = batch if first is None else first
            if number % self.group.world_size == self.group.rank:
                yield batch, True
        if first is not None and number % self.group.world_size < self.group.rank:
            yield first, False

    def tried(self, batches: Iterable[Tuple[str, Batch]]) -> Iterable[Tuple[str, Batch]]:
        """See Placement; all try as many."""
        own = list(batches)
        most = max(self.group.gather(len(own)))
        return [*own, *own[-1:] * (most - len(own))]

    @contextlib.contextmanager
    def holding(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """See Placement: all processes gather all layers, and the first one's have other values for that long."""
        for unit in map(_as_unit, self._units):
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()
        network = self.system.network
        # Of what is divided, the rows are untouched and remain; of the rest there is one tensor.
        own = [(value, value.detach().clone()) for value in (*network.buffers(), *self._numbers)]
        try:
            if self.group.is_main:
                with torch.no_grad():
                    for name, value in (*network.named_parameters(), *network.named_buffers()):
                        if name in weights:
                            value.copy_(weights[name])
            yield
        finally:
            with torch.no_grad():
                for value, before in own:
                    value.copy_(before)
            for unit in map(_as_unit, self._units):
                unit.set_reshard_after_forward(True, recurse=False)
            # Gives the whole tensors back, and forgets which layers ran, which what is gathered next would depend on.
            _as_unit(self.system).reset_iter_state()


def _as_unit(module: nn.Module) -> "FSDPModule":
    if not isinstance(module, FSDPModule):
        raise TypeError(f"{type(module).__name__} is not sharded.")
    return module


def _of_all(value: nn.Parameter, mesh: "DeviceMesh") -> nn.Parameter:
    """The same number, in the same memory, as a tensor that all processes hold."""
    return nn.Parameter(DTensor.from_local(value.detach(), mesh, [Replicate()]), value.requires_grad)


def _gathered(value: Any, is_kept: bool) -> Any:
    """The value with whole tensors in memory of the CPU, put together one by one; None in their place if not kept."""
    if isinstance(value, DTensor):
        whole = value.full_tensor().detach()
        return whole.cpu() if is_kept else None
    if isinstance(value, dict):
        return {key: _gathered(item, is_kept) for key, item in value.items()}
    return value


def _divided(value: Any, like: Any) -> Any:
    """The value, of whose tensors this process keeps the rows that it has of those in `like`."""
    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape:
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    if isinstance(like, dict) and isinstance(value, dict):
        return {key: _divided(item, like.get(key)) for key, item in value.items()}
    return value


class _WholeTensors:
    """A part of training as one of whole tensors.

    Args:
      part: of divided ones. group: the processes that hold them.
    """

    def __init__(self, part: Stateful, group: Group) -> None:
        self._part = part
        self._is_main = group.is_main

    def state_dict(self) -> Any:
        """The state; all processes ask for it together, and the first one gets it."""
        return _gathered(self._part.state_dict(), self._is_main)

    def load_state_dict(self, state: Any) -> None:
        """Take over this process's rows of a state of whole tensors."""
        self._part.load_state_dict(_divided(state, self._part.state_dict()))


class _WholeMoments:
    """An optimiser of divided tensors as one of whole ones.

    Args:
      optimizer: the optimiser. group: the processes that hold its tensors.
    """

    def __init__(self, optimizer: Optimizer, group: Group) -> None:
        self._optimizer = optimizer
        self._is_main = group.is_main

    def state_dict(self) -> Dict[str, Any]:
        """The state; all processes ask for it together, and the first one gets it."""
        return _gathered(self._optimizer.state_dict(), self._is_main)

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over this process's rows of a state of whole tensors."""
        parameters = [value for group in self._optimizer.param_groups for value in group["params"]]
        numbers = [number for group in state["param_groups"] for number in group["params"]]
        # What an optimiser keeps of a tensor is of the tensor's shape, or a number such as that of the steps.
        like = {
            number: dict.fromkeys(state["state"].get(number, ()), value) for number, value in zip(numbers, parameters)
        }
        self._optimizer.load_state_dict(_divided(state, {"state": like}))
