"""Figures of a training for packages that set many runs beside each other: Weights & Biases, trackio.

Nothing is sent from here: wandb is begun offline, without its reports of errors, and trackio writes below the home
folder. Who wants a run elsewhere says so to the package itself (`wandb sync`, or WANDB_MODE=online; `trackio sync`).
"""

import importlib
import importlib.util
import logging
import os
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Protocol

LOG = logging.getLogger(__name__)

NO_TRACKER = "none"
TRACKERS = (NO_TRACKER, "trackio", "wandb")
_PROJECT = "icefall_discrete"
# What wandb itself reads; a run that is offline asks for its server of error reports all the same.
_MODE, _OFFLINE, _ERROR_REPORTS = "WANDB_MODE", "offline", "WANDB_ERROR_REPORTING"


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


class _Forgiven:
    """A run whose package may fail, which training outlives."""

    def __init__(self, name: str, run: Tracker) -> None:
        self._name, self._run = name, run
        self._has_failed = False

    def _attempt(self, act: Callable[[], object]) -> None:
        if self._has_failed:
            return
        try:
            act()
        except Exception as error:  # of whatever kind: figures for others are not worth hours of training
            self._has_failed = True
            LOG.warning(
                f"{self._name} failed ({type(error).__name__}: {error}); training goes on and tells it no more. "
                "TensorBoard and the log have all figures."
            )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._attempt(lambda: self._run.log(metrics, step=step))

    def finish(self) -> None:
        self._attempt(self._run.finish)


def open_tracker(name: str, exp_dir: Path) -> Tracker:
    """Begin a run that is called as the experiment's folder is. `name`: one of TRACKERS, but not the first.

    What fails later is told in the log, and nothing more is written then.

    Raises:
      ValueError: if the package cannot begin one.
    """
    flags: Dict[str, Any] = {"project": _PROJECT, "name": exp_dir.resolve().name}
    if name == "wandb":
        flags.update(dir=str(exp_dir), mode=os.environ.get(_MODE) or _OFFLINE)
        if flags["mode"] == _OFFLINE:
            os.environ.setdefault(_ERROR_REPORTS, "false")
    try:
        run: Tracker = importlib.import_module(name).init(**flags)
    except Exception as error:  # each package has its own
        raise ValueError(
            f"tracker '{name}' cannot begin a run ({type(error).__name__}: {error}); correct it, or set tracker to "
            f"{NO_TRACKER}."
        ) from error
    return _Forgiven(name, run)
