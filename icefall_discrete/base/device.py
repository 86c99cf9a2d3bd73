"""Where networks run: the one place that decides what auto, cpu and cuda mean."""

import os
import re
from typing import TYPE_CHECKING, Any

from icefall_discrete.base.settings import setting

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def device_setting(what: str = "where networks run") -> Any:
    """Declare the field of a settings class that says where something runs; `resolve` reads it."""
    return setting("auto", f"{what}; auto: CUDA where there is a device, else the CPU", choices=DEVICES)


def check_name(name: str) -> None:
    """Raise ValueError unless `name` is auto, cpu, cuda or cuda:N."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"device is '{name}', expected cpu, cuda, cuda:N or auto.")


def resolve(name: str, who: str, can_leave_cpu: bool = True) -> "torch.device":
    """The device that auto, cpu, cuda or cuda:N is here; `cuda` is the one of this process of torchrun's, or the first.

    Args:
      who: what is to run there, for messages. can_leave_cpu: whether `auto` may be something else than the CPU.
    Raises:
      ValueError: for another name, or if CUDA is asked for and torch finds no device.
    """
    import torch  # settings can be read where there is none

    check_name(name)
    has_cuda = torch.cuda.is_available()
    if name.startswith("cuda") and not has_cuda:
        raise ValueError(f"{who} cannot run on {name}: torch finds no CUDA device here; use cpu or auto.")
    if name == "auto":
        name = "cuda" if has_cuda and can_leave_cpu else "cpu"
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name)
