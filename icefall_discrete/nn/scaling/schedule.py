"""Numbers that change with the batch count: dropout rates, skip rates, limits of balancers."""

from typing import Sequence, Tuple, Union

from torch import nn


class Schedule:
    """A piecewise linear function of the batch count, constant before its first and after its last point.

    It holds no parameter and no buffer, so a state dict does not know it; `set_batch_count` moves all schedules of a
    model. Before the first call it has its value at batch 0.

    Args:
      points: (batch count, value) pairs in rising order of the batch count.
    """

    __slots__ = ("points", "value")

    def __init__(self, *points: Tuple[float, float]) -> None:
        if not points:
            raise ValueError("a schedule needs at least one (batch count, value) point.")
        self.points = tuple((float(count), float(value)) for count, value in points)
        if any(later[0] <= earlier[0] for earlier, later in zip(self.points, self.points[1:])):
            raise ValueError(f"schedule {points}: batch counts must rise from point to point.")
        self.value = self.at(0.0)

    @classmethod
    def from_flat(cls, numbers: Sequence[float]) -> "Schedule":
        """Build from a setting: one number is a constant; otherwise count, value, count, value, ..."""
        if len(numbers) == 1:
            return cls((0.0, numbers[0]))
        if not numbers or len(numbers) % 2:
            raise ValueError(f"schedule {tuple(numbers)}: expected one number, or pairs 'batch count, value, ...'.")
        return cls(*zip(numbers[::2], numbers[1::2]))

    def at(self, batch_count: float) -> float:
        """Return the value at `batch_count`."""
        left = self.points[0]
        if batch_count <= left[0]:
            return left[1]
        for right in self.points[1:]:
            if batch_count < right[0]:
                return left[1] + (right[1] - left[1]) * (batch_count - left[0]) / (right[0] - left[0])
            left = right
        return left[1]

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"Schedule{self.points}"


Scheduled = Union[float, Schedule]


def set_batch_count(module: nn.Module, batch_count: float) -> None:
    """Move every schedule in `module` and its submodules to `batch_count`; the trainer calls it, every few batches."""
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Schedule):
                value.value = value.at(batch_count)
