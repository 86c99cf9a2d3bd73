"""Parts as TorchScript files, under icefall's names: `<name>_jit_trace.pt`, for `torch.jit.load` and its C++."""

import logging
import warnings
from pathlib import Path

import torch

from icefall_discrete.export.parts import Part
from icefall_discrete.export.tracing_check import TRACED, as_list, largest_difference

LOG = logging.getLogger(__name__)


@torch.no_grad()
def export_torchscript(part: Part, folder: Path) -> str:
    """Write a part to `folder`; returns the name of its file.

    Raises:
      ValueError: if it cannot be traced, or the trace does not give what PyTorch gives.
    """
    path = folder / f"{part.name}_jit_trace.pt"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about shapes in a trace, which the check is for
            traced = torch.jit.trace(part.module.eval(), tuple(part.example(*TRACED).values()), check_trace=False)
        difference = largest_difference(part, lambda inputs: as_list(traced(*inputs.values())))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{part.name} of this model cannot be exported to TorchScript: {reason}") from None
    if not difference <= part.tolerance:
        raise ValueError(
            f"{part.name} of this model cannot be exported to TorchScript: what the file gives differs by "
            f"{difference:.2g} of the largest number."
        )
    traced.save(str(path))
    LOG.info(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, differs from PyTorch by {difference:.1e} at most")
    return path.name
