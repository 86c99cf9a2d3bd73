"""Networks are exported by a trace of their forward pass, with shapes that stay open.

In a trace numbers of frames are tensors, so that no `if` may look at them, and functions with a backward pass of their
own would be boxes that nobody can read: their forward pass alone is traced.
"""

from typing import Any, Type

import torch
from torch import Tensor


def is_traced() -> bool:
    """Whether the forward pass that runs is being recorded for an export."""
    return torch.jit.is_tracing()


class _NoContext:
    """Stands for the context of a function in a trace, which has no backward pass."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep nothing."""


def applied(function: Type[torch.autograd.Function], *inputs: Any) -> Any:
    """`function.apply(*inputs)`; in a trace what its forward pass is made of."""
    return function.forward(_NoContext(), *inputs) if is_traced() else function.apply(*inputs)


def at_least_zero(count: Any) -> Any:
    """max(count, 0) of a number of frames, which is a tensor in a trace."""
    return count.clamp(min=0) if isinstance(count, Tensor) else max(count, 0)
