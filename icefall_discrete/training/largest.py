"""Try the largest batches before training, so that too little memory is found in the first minute, not in the night."""

import logging
from typing import Callable, Iterable, Tuple

import torch

from icefall_discrete.base.environment import peak_memory_mib
from icefall_discrete.training.bad_batches import is_out_of_memory, shape_of
from icefall_discrete.training.system import Batch

LOG = logging.getLogger(__name__)


def peak_memory(device: torch.device) -> str:
    """Most memory that was in use so far: of the device's tensors on CUDA, of the process on a CPU."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB on the device"
    return f"{peak_memory_mib() / 2**10:.1f} GiB in the process"


def try_batches(
    run: Callable[[Batch], None], batches: Iterable[Tuple[str, Batch]], device: torch.device, if_too_large: str
) -> None:
    """Call `run` (forward and backward) on each of the named batches; `if_too_large` says what a person may do.

    Raises:
      RuntimeError: if one does not fit into memory, with its size and what to do.
    """
    shapes = []
    for what, batch in batches:
        try:
            run(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            longest = max(zip(batch["duration_sec"].tolist(), batch["cut_ids"]))
            raise RuntimeError(
                f"the batch with the {what} ({shape_of(batch)}, the longest is cut {longest[1]} of {longest[0]:.1f} s) "
                f"does not fit into memory; {if_too_large}."
            ) from error
        shapes.append(f"{what}: {shape_of(batch)}")
    if shapes:
        LOG.info(f"The largest batches fit ({'; '.join(shapes)}): {peak_memory(device)} at most.")
