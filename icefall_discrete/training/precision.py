"""Number formats of training: fp32, or the forward pass in bf16 or fp16 (with a scaled loss)."""

import contextlib
from typing import Any, ContextManager, Dict, Mapping

import torch
from torch import Tensor

PRECISIONS = ("fp32", "bf16", "fp16")

# Below this scale of the fp16 loss the gradients are lost in rounding, and training no longer learns.
_SMALLEST_SCALE = 1e-5


class Precision:
    """Autocast and, for fp16, loss scaling, behind one interface.

    Args:
      name: fp32, bf16 or fp16.
      device_type: "cpu" or "cuda"; fp16 needs cuda.
    """

    def __init__(self, name: str, device_type: str) -> None:
        if name not in PRECISIONS:
            raise ValueError(f"--precision is '{name}'; known: {', '.join(PRECISIONS)}.")
        if name == "fp16" and device_type != "cuda":
            raise ValueError("--precision fp16 needs a CUDA device; use bf16 or fp32 on a CPU.")
        self.dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
        self.device_type = device_type
        # torch 2.3 moved the class; both have the same interface.
        scaler = getattr(torch.amp, "GradScaler", torch.cuda.amp.GradScaler)
        self.scaler = scaler(init_scale=1.0) if name == "fp16" else None

    def autocast(self) -> ContextManager[Any]:
        """Context of the forward pass."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of `loss`, scaled in fp16."""
        (self.scaler.scale(loss) if self.scaler else loss).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Step the optimiser; in fp16 a step with overflowed gradients is left out and the scale goes down.

        Raises:
          RuntimeError: when the fp16 scale has fallen so far that nothing is learnt.
        """
        if self.scaler is None:
            optimizer.step()
            return
        self.scaler.step(optimizer)
        self.scaler.update()
        scale = self.scaler.get_scale()
        if scale < _SMALLEST_SCALE:
            raise RuntimeError(
                f"the fp16 loss scale fell to {scale:.1e}: training diverged. Resume from an earlier checkpoint with a "
                "lower --base-lr, or train with --precision bf16."
            )

    @property
    def overflows_are_expected(self) -> bool:
        """Whether non-finite gradients now and then are part of the method (fp16)."""
        return self.scaler is not None

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint; empty without loss scaling."""
        return self.scaler.state_dict() if self.scaler else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        if self.scaler and state:
            self.scaler.load_state_dict(dict(state))
