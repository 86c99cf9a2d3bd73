"""Processes that train together hold the same weights: gradients are added up in one exchange a step."""

from typing import Dict, List, Optional, Tuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from icefall_discrete.training.distributed import Group


class GradientExchange:
    """Adds up gradients over all processes, where there are several.

    Gradients travel in one buffer a number format, after the backward pass of a step's last batch. On CPUs this is
    faster than torch's DistributedDataParallel, which hooks into every parameter to exchange while the pass goes on
    (tools/benchmark/bench_distributed.py); a step on several batches exchanges once.

    Args:
      module: whose parameters are trained. group: the processes.
    """

    def __init__(self, module: nn.Module, group: Group) -> None:
        self._module, self._group = module, group
        self._buffers: Dict[Tuple[torch.device, torch.dtype], Tensor] = {}

    def share_state(self) -> None:
        """Give all processes the weights and buffers of the first one."""
        if self._group.world_size > 1:
            self._share([*self._module.parameters(), *self._module.buffers()])

    def share_buffers(self) -> None:
        """Give all processes the buffers of the first one, such as running statistics, which each step changes."""
        if self._group.world_size > 1:
            self._share(list(self._module.buffers()))

    def sum_gradients(self) -> None:
        """Replace each gradient by its sum over the processes; None stays only where no process has a gradient."""
        if self._group.world_size == 1:
            return
        for parameters in self._by_format().values():
            gradients = self._summed(parameters)
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient

    def _share(self, tensors: List[Tensor]) -> None:
        with torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def _by_format(self) -> Dict[Tuple[torch.device, torch.dtype], List[nn.Parameter]]:
        formats: Dict[Tuple[torch.device, torch.dtype], List[nn.Parameter]] = {}
        for parameter in self._module.parameters():
            if parameter.requires_grad:
                formats.setdefault((parameter.device, parameter.dtype), []).append(parameter)
        return formats

    def _summed(self, parameters: List[nn.Parameter]) -> List[Optional[Tensor]]:
        """The sums as views of the buffer, which is filled anew only after the optimiser's step."""
        sizes = [parameter.numel() for parameter in parameters]
        buffer = self._buffer(parameters[0], sum(sizes) + len(sizes))
        # The last numbers count the processes that have a gradient, of each parameter.
        has_gradient = [float(parameter.grad is not None) for parameter in parameters]
        parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        torch.cat([*(part.reshape(-1) for part in parts), buffer.new_tensor(has_gradient)], out=buffer)
        dist.all_reduce(buffer)
        *flat, counts = buffer.split([*sizes, len(sizes)])
        known = counts.tolist()
        return [part.view_as(one) if count else None for part, one, count in zip(flat, parameters, known)]

    def _buffer(self, like: Tensor, size: int) -> Tensor:
        key = (like.device, like.dtype)
        if key not in self._buffers:
            self._buffers[key] = like.new_empty(size)
        return self._buffers[key]
