"""Figures of a training for packages that set many runs beside each other: Weights & Biases, trackio.

Nothing is sent from here: wandb is begun offline, and trackio writes below the home folder. Who wants a run elsewhere
says so to the package itself (`wandb sync`, or WANDB_MODE=online; `trackio sync`).
"""

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any, Dict, Mapping, Protocol

NO_TRACKER = "none"
TRACKERS = (NO_TRACKER, "trackio", "wandb")
_PROJECT = "icefall_discrete"
_MODE = "WANDB_MODE"  # what wandb itself reads


class Tracker(Protocol):
    """A run of such a package."""

    def log(self, metrics: Mapping[str, float], step: int) -> object:
        """Write figures by their names, at an optimiser step."""

    def finish(self) -> object:
        """End the run."""


def require_tracker(name: str) -> None:
    """Raise ImportError, in one sentence, unless the package of a tracker is installed."""
    if name != NO_TRACKER and importlib.util.find_spec(name) is None:
        raise ImportError(
            f"tracker is '{name}', which is not installed; pip install {name}, or set it to {NO_TRACKER}."
        )


def open_tracker(name: str, exp_dir: Path) -> Tracker:
    """Begin a run that is called as the experiment's folder is. `name`: one of TRACKERS, but not the first."""
    flags: Dict[str, Any] = {"project": _PROJECT, "name": exp_dir.resolve().name}
    if name == "wandb":
        flags.update(dir=str(exp_dir), mode=os.environ.get(_MODE, "offline"))
    run: Tracker = importlib.import_module(name).init(**flags)
    return run
