"""Functions of tensors whose chain of operations `torch.compile` can make into one pass over memory.

What stands in the hand-written forward and backward passes between products of matrices is bound by memory: each
operation reads and writes all values. A whole network is not compiled: the Zipformer draws what it skips, and its
schedules are numbers that change at every step, so that it would be compiled again and again. Functions of tensors
alone, without a draw or a schedule, are compiled once for each kind of tensor.
"""

import contextlib
import functools
import importlib.util
import os
import shutil
from typing import Any, Callable, Iterator, List, Optional, TypeVar, cast

import torch

from icefall_discrete.nn.tracing import is_traced

F = TypeVar("F", bound=Callable[..., Any])
_in_use: List[bool] = [False]  # by the innermost `compiled` last


def fusible(function: F) -> F:
    """The function, which while `compiled` lasts is compiled at its first call; tensors, strings and None go in."""
    made: List[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*inputs: Any) -> Any:
        if not _in_use[-1] or is_traced():
            return function(*inputs)
        if not made:
            made.append(torch.compile(function, dynamic=True))
        # What is a parameter, or asks for a gradient, would be another kind of tensor, and be compiled again.
        return made[0](*(value.detach() if isinstance(value, torch.Tensor) else value for value in inputs))

    return cast(F, call)


@contextlib.contextmanager
def compiled(wanted: bool, device_type: str) -> Iterator[None]:
    """Compile fusible functions while the context lasts, if it is `wanted`.

    Raises:
      ValueError: if this torch or this machine cannot.
    """
    problem = _why_not(device_type) if wanted else None
    if problem is not None:
        raise ValueError(f"--compile needs {problem}, or leave it out.")
    _in_use.append(wanted)
    try:
        yield
    finally:
        _in_use.pop()


def can_compile(device_type: str) -> bool:
    """Whether this torch and this machine can."""
    return _why_not(device_type) is None


def _why_not(device_type: str) -> Optional[str]:
    """What is missing, and what to do."""
    if not hasattr(torch, "compile"):
        return f"torch 2.1 or newer, and this is {torch.__version__}; use such an environment"
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"a C++ compiler, and there is no {compiler}; install one"
    if device_type == "cuda" and importlib.util.find_spec("triton") is None:
        return "the package triton on a CUDA device; install it"
    return None
