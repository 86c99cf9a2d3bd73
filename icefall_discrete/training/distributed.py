"""One process or several: who am I, add up figures, keep everyone's random state."""

import dataclasses
import os
from typing import Any, Dict, List, Mapping

import torch
import torch.distributed as dist


@dataclasses.dataclass(frozen=True)
class Group:
    """This process among those that train together, as torchrun numbers them; a single process is rank 0 of 1."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and the log."""
        return self.rank == 0

    def sum(self, values: Mapping[str, float], device: torch.device) -> Dict[str, float]:
        """Sum each value over all processes; every process passes the same keys."""
        if self.world_size == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return dict(zip(values, total.tolist()))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether `flag` is set in any process, so that all take the same decision."""
        return self.sum({"flag": float(flag)}, device)["flag"] > 0

    def gather(self, value: Any) -> List[Any]:
        """The values of all processes by rank."""
        if self.world_size == 1:
            return [value]
        values: List[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Let every process come here before any goes on."""
        if self.world_size > 1:
            dist.barrier()


def join_group(device_name: str) -> Group:
    """Join the group that torchrun describes in RANK, WORLD_SIZE and LOCAL_RANK; without them there is one process."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return Group()
    dist.init_process_group("nccl" if device_name == "cuda" else "gloo")
    return Group(dist.get_rank(), world_size, int(os.environ.get("LOCAL_RANK", "0")))


def leave_group(group: Group) -> None:
    """Close the connections that `join_group` opened."""
    if group.world_size > 1:
        dist.destroy_process_group()


def choose_device(name: str) -> str:
    """Return "cuda" or "cpu" for the setting auto | cpu | cuda.

    Raises:
      RuntimeError: if cuda is asked for and torch sees no device.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise RuntimeError("--device cuda, but torch sees no CUDA device; use --device cpu, or install a CUDA build.")
    return "cuda" if name == "cuda" or (name == "auto" and available) else "cpu"
