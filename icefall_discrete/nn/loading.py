"""Weights into a network, all of them or a sentence that says which do not fit."""

from typing import Mapping

import torch
from torch import Tensor, nn


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load `state` into `module`; a missing, extra or misshapen parameter is named with its shapes.

    Args:
      where: what the state came from, for the message.
    Raises:
      ValueError: if they do not fit; the module is then as it was.
    """
    mine = module.state_dict()
    problems = [f"'{name}' {tuple(value.shape)} is missing" for name, value in mine.items() if name not in state]
    problems += [f"'{name}' {tuple(value.shape)} is unknown" for name, value in state.items() if name not in mine]
    problems += [
        f"'{name}' is {tuple(state[name].shape)}, expected {tuple(value.shape)}"
        for name, value in mine.items()
        if name in state and state[name].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{where} does not fit the model: {'; '.join(problems[:5])}{more}.")
    module.load_state_dict(dict(state))


def require_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise ValueError, naming `where` and the first of them, if weights are NaN, infinite or complex."""
    for name, value in state.items():
        if value.is_complex():
            raise ValueError(f"{where}: '{name}' holds complex numbers, expected real ones; use a sound copy.")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(
                f"{where}: {int((~torch.isfinite(value)).sum())} of {value.numel()} numbers of '{name}' are NaN or "
                "infinite, so that the network says nothing; use other epochs, or a sound copy of the file."
            )
