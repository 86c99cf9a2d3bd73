"""Operations that a step calls, and where: small models on a GPU wait for the launches."""

from collections import Counter
from typing import Callable, List, Tuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

# Beside views proper, what asks for memory or names it anew.
NO_WORK = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "_reshape_alias")


class Operations(TorchDispatchMode):
    """Counts operations while it lasts; one over a list of tensors is one.

    Attributes:
      number: all of them.
      by_place: those that are not views, by the module that calls them, and by its step in a backward pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.by_place: Counter = Counter()
        self._modules: List[str] = []

    def watch(self, model: nn.Module) -> None:
        """Note which module of `model` is at work, as long as the model lives."""
        for module in model.modules():
            module.register_forward_pre_hook(lambda module, inputs: self._modules.append(type(module).__name__))
            module.register_forward_hook(lambda module, inputs, output: self._leave())

    def _leave(self) -> None:
        self._modules.pop()

    def _place(self) -> str:
        if self._modules:
            return self._modules[-1]
        node_of = getattr(torch._C, "_current_autograd_node", lambda: None)  # torch 2 and newer know it
        node = node_of()
        return "outside of modules" if node is None else node.name()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        schema = func._schema
        is_view = any(value.alias_info is not None and not value.alias_info.is_write for value in schema.returns)
        self.number += 1
        if not is_view and schema.name.split("::")[1] not in NO_WORK:
            self.by_place[self._place()] += 1
        return func(*args, **(kwargs or {}))


def mean_number(step: Callable[[], object], steps: int) -> float:
    """Operations of a step, views too, over so many of them."""
    with Operations() as operations:
        for _ in range(steps):
            step()
    return operations.number / steps


def mean_by_place(step: Callable[[], object], model: nn.Module, steps: int) -> List[Tuple[str, float]]:
    """Operations of a step that are not views, by place, the most first."""
    operations = Operations()
    operations.watch(model)
    with operations:
        for _ in range(steps):
            step()
    return [(place, number / steps) for place, number in operations.by_place.most_common()]
