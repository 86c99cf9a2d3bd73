"""What the machine has, as far as it can be known without any package: GPUs, processor cores, free disk."""

import glob
import os
import platform
import shutil
from pathlib import Path
from typing import Optional


def num_gpus() -> Optional[int]:
    """GPUs that torch's CUDA can use at most, 0 for certainly none; None if that cannot be known here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    if platform.system() != "Linux":
        return 0 if platform.system() == "Darwin" else None
    if any(os.path.exists(f"/dev/{other}") for other in ("kfd", "dxg")):  # of AMD, and of Windows' Linux
        return None
    return len(glob.glob("/dev/nvidia[0-9]*"))


def num_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_gigabytes(path: Path) -> float:
    """Free space where `path` is, or would be made, in 10^9 bytes."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free / 1e9
