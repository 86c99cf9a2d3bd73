"""Number formats of training: fp32, or the forward pass in bf16 or fp16 (with a scaled loss)."""

import contextlib
import logging
from typing import Any, ContextManager, Dict, Mapping

import torch
from torch import Tensor

from icefall_discrete.training.train_config import PRECISIONS

LOG = logging.getLogger(__name__)

# Rules of the fp16 loss scale, as in icefall. It starts at 1; while it is below a bound it doubles every so many steps.
_FIRST_SCALE = 1.0
_DOUBLINGS = ((2.0, 25), (8.0, 100), (32.0, 400))
# Below the first, training is in trouble; below the second, gradients are lost in rounding and nothing is learnt.
_SMALL_SCALE = 0.01
_SMALLEST_SCALE = 1e-5


class Precision:
    """Autocast and, for fp16, loss scaling, behind one interface.

    Args:
      name: fp32, bf16 or fp16.
      device_type: "cpu" or "cuda"; fp16 on a CPU needs torch 2.3 and is slow: it is there to try a recipe out.
    """

    def __init__(self, name: str, device_type: str) -> None:
        if name not in PRECISIONS:
            raise ValueError(f"--precision is '{name}'; known: {', '.join(PRECISIONS)}.")
        if name == "fp16" and device_type != "cuda" and not hasattr(torch.amp, "GradScaler"):
            raise ValueError(
                f"--precision fp16 needs a CUDA device with torch {torch.__version__}; use bf16 or fp32 on a CPU."
            )
        self.dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
        self.device_type = device_type
        self.scaler = _scaler(device_type) if name == "fp16" else None
        self._steps = 0

    def autocast(self) -> ContextManager[Any]:
        """Context of the forward pass."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of `loss`, scaled in fp16."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the gradients their own size before something measures them."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Step the optimiser; in fp16 a step with overflowed gradients is left out and the scale goes down.

        Raises:
          RuntimeError: when the fp16 scale has fallen so far that nothing is learnt.
        """
        if self.scaler is None:
            optimizer.step()
            return
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        self._steps += 1
        scale = self.scaler.get_scale()
        if scale < _SMALLEST_SCALE:
            raise RuntimeError(
                f"the grad scale is too small: the fp16 loss scale fell to {scale:.1e}, so that training no longer "
                "learns. Resume from an earlier checkpoint with a lower --base-lr, or train with --precision bf16."
            )
        if scale < min(before, _SMALL_SCALE):
            LOG.warning(f"The fp16 loss scale fell to {scale:.1e}; training stops at {_SMALLEST_SCALE:.0e}.")
        if any(scale < bound and self._steps % every == 0 for bound, every in _DOUBLINGS):
            self.scaler.update(2.0 * scale)

    @property
    def overflows_are_expected(self) -> bool:
        """Whether non-finite gradients now and then are part of the method (fp16)."""
        return self.scaler is not None

    @property
    def scale(self) -> float:
        """What the loss is multiplied with; 1 but in fp16."""
        return self.scaler.get_scale() if self.scaler else 1.0

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint; empty without loss scaling."""
        return {"scaler": self.scaler.state_dict(), "steps": self._steps} if self.scaler else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        if self.scaler and state:
            self.scaler.load_state_dict(dict(state["scaler"]))
            self._steps = state["steps"]


def _scaler(device_type: str) -> Any:
    # torch 2.3 moved the class and gave it the device; the interface is the same.
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(device_type, init_scale=_FIRST_SCALE)
    return torch.cuda.amp.GradScaler(init_scale=_FIRST_SCALE)
