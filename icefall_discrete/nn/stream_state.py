"""What streams remember between chunks: dataclasses of tensors whose first axis is the stream.

Letters: N streams, L frames of left context, D channels.
"""

import dataclasses
from typing import Any, Callable, List, Sequence, TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


@dataclasses.dataclass
class Past:
    """The last frames that a module has seen of each stream, (N, L, D); zeros where the stream was younger."""

    frames: Tensor

    def extend(self, new: Tensor) -> Tensor:
        """Return the past and `new` (N, T, D) behind it, (N, L + T, D), and remember the last L frames of that."""
        joined = torch.cat((self.frames, new), dim=1)
        self.frames = joined[:, new.shape[1] :]
        return joined


def _merge(nodes: Sequence[Any], join: Callable[[Sequence[Tensor]], Tensor]) -> Any:
    """Join the tensors that stand at the same place of several states of the same form."""
    first = nodes[0]
    if isinstance(first, Tensor):
        return join(nodes)
    if isinstance(first, tuple):
        return tuple(_merge(items, join) for items in zip(*nodes))
    names = [field.name for field in dataclasses.fields(first)]
    return type(first)(**{name: _merge([getattr(node, name) for node in nodes], join) for name in names})


def stack_states(states: Sequence[S]) -> S:
    """Put the states of several streams, or groups of streams, together for one batch, in this order."""
    return _merge(list(states), lambda tensors: torch.cat(list(tensors), dim=0))


def split_state(state: S, num: int) -> List[S]:
    """Take a state of `num` streams apart into one for each."""

    def of_stream(row: int) -> S:
        # A clone, so that a stream that pauses does not keep the memory of a whole batch.
        return _merge([state], lambda tensors: tensors[0][row : row + 1].clone())

    return [of_stream(row) for row in range(num)]


def copy_state(state: S) -> S:
    """A state with the same tensors whose fields can be replaced without touching `state`."""
    return _merge([state], lambda tensors: tensors[0])
