"""Parameters put together, so that an optimiser's step is a few operations and not some for each parameter.

On a CPU those of one size are the rows of a matrix that stays in the cache (`SameSize`). On a device, which would wait
for the launches, all of a kind lie behind each other in one matrix (`Pieces`). Both offer the same to the optimiser.
"""

import abc
import operator
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

# Elements of a bucket: few enough for a step's matrices to stay in a CPU's cache, many enough to occupy a GPU.
BUCKET_ELEMENTS = 2**18
# Elements of a line of `Pieces`: what a block of a GPU sums up at once; half of it is lost for each parameter.
PIECE_ELEMENTS = 256
# Entries of a state: of the shape of the parameters, and with one number a parameter in the last dimension but one.
OF_ELEMENTS = ("exp_avg_sq", "delta")
OF_PARAMETERS = ("param_rms", "scale_exp_avg_sq", "scale_grads")

Matrices = Tuple[Tensor, Tensor, Tensor]


@dataclass
class Bucket:
    """Parameters of one group with equally many elements, and their state."""

    names: List[str]
    params: List[Tensor]
    state: Dict[str, Any]

    @property
    def elements(self) -> int:
        """Elements of each parameter."""
        return self.params[0].numel()

    @property
    def is_scalar(self) -> bool:
        """Whether its parameters are single numbers."""
        return self.elements == 1


class Stack(abc.ABC):
    """Parameters that are updated together.

    Its matrices have the shape (lines, width), numbers of parameters the shape (parameters, 1).

    Attributes:
      params: in the order of its buckets.
      is_scalar: whether they are all single numbers; else none is.
      state: the optimiser's, for all of them.
    """

    state: Dict[str, Any]

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self.names = [name for bucket in buckets for name in bucket.names]
        self.params = [param for bucket in buckets for param in bucket.params]
        self.is_scalar = buckets[0].is_scalar

    @property
    @abc.abstractmethod
    def is_new(self) -> bool:
        """Whether `begin` must be called."""

    @abc.abstractmethod
    def begin(self, state: Dict[str, Any]) -> None:
        """Keep the state of the first step."""

    @abc.abstractmethod
    def collect(self) -> None:
        """Take the gradients of this step, and zeros where there is none. Raises RuntimeError if one is sparse."""

    @abc.abstractmethod
    def grad_norms(self) -> Tensor:
        """Norm of each parameter's gradient, (parameters,)."""

    @abc.abstractmethod
    def matrices(self) -> Matrices:
        """Gradients, values, and memory with undefined content, valid until another stack is asked."""

    @abc.abstractmethod
    def row_sums(self, matrix: Tensor) -> Tensor:
        """Sum over each parameter."""

    @abc.abstractmethod
    def row_rms(self, matrix: Tensor) -> Tensor:
        """Root mean square of each parameter."""

    @abc.abstractmethod
    def spread(self, rows: Tensor) -> Tensor:
        """Numbers of parameters, as (lines, 1)."""

    @abc.abstractmethod
    def move(self, delta: Tensor, values: Tensor) -> None:
        """Add to the parameters, whose values are `values`."""

    @abc.abstractmethod
    def move_within(self, delta: Tensor, values: Tensor, bound: float) -> None:
        """The same, and none leaves `bound`."""

    def advance(self) -> None:
        """Count a step."""
        self.state["step"] += 1

    def _gradients(self) -> List[Tuple[int, Tensor]]:
        """Positions of the parameters that have a gradient, with it."""
        found = [(index, param.grad) for index, param in enumerate(self.params) if param.grad is not None]
        for index, grad in found:
            if grad.is_sparse:
                raise RuntimeError(f"ScaledAdam cannot use sparse gradients (parameter {self.names[index]}).")
        return found


class Workspace:
    """Memory for the matrices of a stack, used again by the next one."""

    def __init__(self) -> None:
        self._memory: Dict[Tuple, Tensor] = {}

    def of(self, like: Tensor, size: int) -> Tensor:
        """Three rows of `size` elements with undefined content."""
        key = (like.device, like.dtype)
        if key not in self._memory or self._memory[key].size(1) < size:
            self._memory[key] = like.new_empty(3, size)
        return self._memory[key][:, :size]


class SameSize(Stack):
    """One bucket: each line is a parameter."""

    def __init__(self, bucket: Bucket, workspace: Workspace) -> None:
        super().__init__([bucket])
        self.state = bucket.state
        self.shape = (len(bucket.params), bucket.elements)
        self.workspace = workspace
        self.grads: List[Tensor] = []

    @property
    def is_new(self) -> bool:
        """See Stack."""
        return "step" not in self.state

    def begin(self, state: Dict[str, Any]) -> None:
        """See Stack."""
        self.state.update(state)

    def collect(self) -> None:
        """See Stack."""
        given = dict(self._gradients())
        self.grads = [given[i] if i in given else torch.zeros_like(param) for i, param in enumerate(self.params)]

    def grad_norms(self) -> Tensor:
        """See Stack."""
        return torch.stack(torch._foreach_norm(self.grads))

    def matrices(self) -> Matrices:
        """See Stack."""
        rows, elements = self.shape
        flats = self.workspace.of(self.params[0], rows * elements)
        torch.cat([grad.reshape(-1) for grad in self.grads], out=flats[0])
        torch.cat([param.reshape(-1) for param in self.params], out=flats[1])
        grad, values, other = flats.view(3, rows, elements)
        return grad, values, other

    def row_sums(self, matrix: Tensor) -> Tensor:
        """See Stack."""
        return matrix.sum(dim=1, keepdim=True)

    def row_rms(self, matrix: Tensor) -> Tensor:
        """See Stack."""
        return torch.linalg.vector_norm(matrix, dim=1, keepdim=True) / matrix.size(1) ** 0.5

    def spread(self, rows: Tensor) -> Tensor:
        """See Stack."""
        return rows

    def move(self, delta: Tensor, values: Tensor) -> None:
        """See Stack."""
        torch._foreach_add_(self.params, [row.view_as(param) for row, param in zip(delta, self.params)])

    def move_within(self, delta: Tensor, values: Tensor, bound: float) -> None:
        """See Stack."""
        self.move(delta, values)
        for param in self.params:
            param.clamp_(-bound, bound)

    def advance(self) -> None:
        """See Stack."""
        super().advance()
        self.grads = []


class Pieces(Stack):
    """Many buckets of a kind: each parameter is some lines, of which the last one ends in zeros.

    Operations over a list of tensors are few launches where each lies in memory as its shape says; a parameter that
    does not, as channels last, costs the others that too, so that models are better without.
    The states of the buckets are views of its own: what a checkpoint holds does not depend on where it was made.
    """

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        super().__init__(buckets)
        self.buckets = buckets
        self.width = 1 if self.is_scalar else PIECE_ELEMENTS
        self.state = {}
        lines = [-(-param.numel() // self.width) for param in self.params]
        like = self.params[0]
        self.counts = torch.tensor(lines, device=like.device)
        self.param_of = torch.repeat_interleave(torch.arange(len(lines)), torch.tensor(lines)).to(like.device)
        self.root_sizes = like.new_tensor([[param.numel() ** 0.5] for param in self.params])
        self.grad, self.values, self.other = like.new_zeros(3, sum(lines), self.width)
        self.first_lines = [0]
        for count in lines:
            self.first_lines.append(self.first_lines[-1] + count)
        self.grad_parts, self.value_parts = self._parts(self.grad), self._parts(self.values)
        self.delta_parts: List[Tensor] = []

    @property
    def is_new(self) -> bool:
        """See Stack."""
        return not self.state

    def begin(self, state: Dict[str, Any]) -> None:
        """Keep the state, and what buckets have from before instead."""
        self.state = dict(state)
        param = 0
        for bucket in self.buckets:
            end = param + len(bucket.params)
            for name in set(OF_ELEMENTS + OF_PARAMETERS).intersection(state):
                part = state[name][..., param:end, :]
                if name in OF_ELEMENTS:
                    lines = state[name][self.first_lines[param] : self.first_lines[end]]
                    whole = -(-bucket.elements // self.width) * self.width
                    part = lines.view(len(bucket.params), whole)[:, : bucket.elements]
                if name in bucket.state:
                    part.copy_(bucket.state[name])
                bucket.state[name] = part
            self.state["step"] = bucket.state.setdefault("step", state["step"])
            param = end
        self.delta_parts = self._parts(self.state["delta"])

    def collect(self) -> None:
        """Take the gradients and the values."""
        found = self._gradients()
        parts = [self.grad_parts[index] for index, _ in found]
        grads = [_laid_out_as(part, grad) for part, (_, grad) in zip(parts, found)]
        # Zeros, to which something is added, are what copies would be, and every torch has that in few launches.
        self.grad.zero_()
        if grads:
            torch._foreach_add_(parts, grads)
        self.values.zero_()
        torch._foreach_add_(self.value_parts, self.params)

    def grad_norms(self) -> Tensor:
        """See Stack."""
        return self._norms(self.grad)

    def matrices(self) -> Matrices:
        """See Stack."""
        return self.grad, self.values, self.other

    def row_sums(self, matrix: Tensor) -> Tensor:
        """See Stack."""
        return self._over_lines(matrix.sum(dim=1)).unsqueeze(1)

    def row_rms(self, matrix: Tensor) -> Tensor:
        """See Stack."""
        return self._norms(matrix).unsqueeze(1) / self.root_sizes

    def spread(self, rows: Tensor) -> Tensor:
        """See Stack."""
        return rows.index_select(0, self.param_of)

    def move(self, delta: Tensor, values: Tensor) -> None:
        """See Stack."""
        torch._foreach_add_(self.params, self.delta_parts)

    def move_within(self, delta: Tensor, values: Tensor, bound: float) -> None:
        """See Stack."""
        values.add_(delta).clamp_(-bound, bound)
        torch._foreach_zero_(self.params)
        torch._foreach_add_(self.params, self.value_parts)

    def advance(self) -> None:
        """See Stack."""
        super().advance()
        for bucket in self.buckets:
            bucket.state["step"] = self.state["step"]

    def _norms(self, matrix: Tensor) -> Tensor:
        """Norm of each parameter, (parameters,)."""
        if self.width == 1:
            return matrix.abs().squeeze(1)
        return self._over_lines(torch.linalg.vector_norm(matrix, dim=1).square_()).sqrt_()

    def _over_lines(self, lines: Tensor) -> Tensor:
        """Sums over the lines of each parameter, (lines,) -> (parameters,); the same at every call."""
        return torch.segment_reduce(lines, "sum", lengths=self.counts, unsafe=True)

    def _parts(self, matrix: Tensor) -> List[Tensor]:
        """Of each parameter, in its shape."""
        flat = matrix.view(-1)
        starts = [line * self.width for line in self.first_lines]
        return [flat[at : at + param.numel()].view(param.shape) for at, param in zip(starts, self.params)]


def _laid_out_as(part: Tensor, grad: Tensor) -> Tensor:
    """A gradient with the strides of `part`: a single one that has others costs its whole list the fast way.

    Those of dimensions of one element may be anything, and are of kernels that have one.
    """
    return grad if grad.stride() == part.stride() else grad.reshape(-1).view(part.shape)


@dataclass
class Plan:
    """How the parameters of a group are stacked.

    Attributes:
      members: the parameters, in the order of the group.
      buckets: they, sorted by size; the state of a bucket is kept with its first parameter.
      stacks: what is updated together.
      order: where the parameter at each place of the buckets' order is among those of the stacks; None: there too.
    """

    members: List[Tensor]
    buckets: List[Bucket]
    stacks: List[Stack]
    order: Optional[Tensor] = None

    def holds_for(self, params: Sequence[Tensor], state: Dict[Tensor, Dict[str, Any]]) -> bool:
        """Whether these are the parameters that it was made for, with the state that it works on."""
        if len(params) != len(self.members) or not all(map(operator.is_, params, self.members)):
            return False
        return all(state[bucket.params[0]] is bucket.state for bucket in self.buckets)

    @property
    def on_device(self) -> bool:
        """Whether to wait for a number of this group costs time, and the states of buckets are views of larger ones."""
        return any(isinstance(stack, Pieces) for stack in self.stacks)

    @property
    def state(self) -> Dict[str, Any]:
        """That of the first bucket, with which the group's own is kept."""
        return self.buckets[0].state

    @property
    def names(self) -> List[str]:
        """Of all parameters, in the order of the buckets."""
        return [name for bucket in self.buckets for name in bucket.names]


def made_plan(
    params: Sequence[Tensor], names: Sequence[str], state: Dict[Tensor, Dict[str, Any]], workspace: Workspace
) -> Plan:
    """Stack the parameters of a group; `state` gives each parameter's."""
    members: Dict[Tuple, List[int]] = {}
    for index, param in enumerate(params):
        members.setdefault((param.device, param.dtype, param.numel()), []).append(index)
    buckets = []
    for indexes in _rows_that_fit(members):
        own = [params[index] for index in indexes]
        buckets.append(Bucket([names[index] for index in indexes], own, state[own[0]]))
    together: Dict[Any, List[Bucket]] = {}
    for index, bucket in enumerate(buckets):
        first = bucket.params[0]
        apart = index if has_cache(first.device) else bucket.state.get("step", 0)
        together.setdefault((first.device, first.dtype, bucket.is_scalar, apart), []).append(bucket)
    stacks: List[Stack] = [
        SameSize(some[0], workspace) if has_cache(some[0].params[0].device) else Pieces(some)
        for some in together.values()
    ]
    order: Optional[Tensor] = None
    if len(stacks) < len(buckets):
        places = {id(param): place for place, param in enumerate(param for one in stacks for param in one.params)}
        order = torch.tensor([places[id(param)] for bucket in buckets for param in bucket.params])
        order = order.to(stacks[0].params[0].device)
    return Plan(list(params), buckets, stacks, order)


def has_cache(device: torch.device) -> bool:
    """Whether small matrices, one after the other, are faster than all in one: on a CPU."""
    return device.type == "cpu"


def _rows_that_fit(members: Dict[Tuple, List[int]]) -> List[List[int]]:
    """Split the members of each size so that a bucket has at most BUCKET_ELEMENTS, or one row."""
    pieces = []
    for (_, _, elements), indexes in members.items():
        rows = max(1, BUCKET_ELEMENTS // elements) if elements > 0 else len(indexes)
        pieces += [indexes[start : start + rows] for start in range(0, len(indexes), rows)]
    return pieces
