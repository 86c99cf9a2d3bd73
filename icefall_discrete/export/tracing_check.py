"""Whether what was exported gives what PyTorch gives, on inputs of other sizes than those of the trace."""

from typing import Any, Callable, Dict, List, Sequence, Tuple

import torch
from torch import Tensor

from icefall_discrete.export.parts import Part

# Utterances and frames of the trace, and of the check, which must not have a size in common with it.
TRACED: Tuple[int, int] = (2, 87)
_CHECKED: Tuple[Tuple[int, int], ...] = ((1, 150), (3, 63))


def as_list(outputs: Any) -> List[Tensor]:
    """The outputs of a network that has one or several."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@torch.no_grad()
def largest_difference(part: Part, run: Callable[[Dict[str, Tensor]], Sequence[Tensor]]) -> float:
    """The largest difference between `run` and PyTorch, relative to the largest number of each output.

    Integer outputs, such as lengths and codes, differ by the share of those that do.
    Raises ValueError if a shape differs.
    """
    worst = 0.0
    for num, frames in _CHECKED:
        inputs = part.example(num, frames)
        expected = as_list(part.module(*inputs.values()))
        for wanted, found in zip(expected, run(inputs)):
            if wanted.shape != found.shape:
                raise ValueError(
                    f"{part.name} gives the shape {tuple(found.shape)} where PyTorch gives {tuple(wanted.shape)}."
                )
            if wanted.is_floating_point():
                scale = float(wanted.abs().max()) or 1.0
                worst = max(worst, float((wanted - found).abs().max()) / scale)
            else:
                worst = max(worst, float((wanted != found).float().mean()))
    return worst
