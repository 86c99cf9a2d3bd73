"""The one place that asks for k2: `resolve("auto")` follows what is installed."""

import functools
import importlib
from types import ModuleType
from typing import Optional, Tuple

BACKENDS = ("auto", "k2", "torch")


@functools.cache
def _import_k2() -> Tuple[Optional[ModuleType], str]:
    try:
        return importlib.import_module("k2"), ""
    except Exception as error:  # a k2 wheel for another torch fails with OSError, RuntimeError or ImportError
        return None, f"{type(error).__name__}: {error}"


def resolve(name: str) -> str:
    """Return "k2" or "torch" for the `--backend` value `name` (auto | k2 | torch).

    Raises:
      RuntimeError: if k2 is asked for and cannot be imported, with the reason and what to do.
      ValueError: if the name is unknown.
    """
    if name not in BACKENDS:
        raise ValueError(f"unknown backend '{name}'; known: {', '.join(BACKENDS)}.")
    if name == "torch":
        return "torch"
    module, reason = _import_k2()
    if module is not None:
        return "k2"
    if name == "k2":
        raise RuntimeError(
            f"--backend k2, but k2 cannot be imported ({reason}); make the k2 environment with "
            "tools/setup_env.sh --env k2, or use --backend torch."
        )
    return "torch"


def k2_module() -> ModuleType:
    """Return the k2 module; call only after `resolve` returned "k2"."""
    module, reason = _import_k2()
    if module is None:
        raise RuntimeError(f"k2 cannot be imported ({reason}); use --backend torch.")
    return module
