"""The folder of a training that is a part of something else, such as the fit of a tokenizer.

inputs.json                          what it is made from, while it lasts
checkpoint-*.pt, epoch-*.pt          while it lasts
system.json                          which system it is, so that a batch can be replayed
bad-batches.jsonl, bad-batches/      if there were any
train.json, log/, tensorboard/       what is known of it afterwards
"""

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, NamedTuple

from icefall_discrete.base import random_state
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.shapes import OBJECT, TEXT, read_shaped
from icefall_discrete.training.averages import epoch_path, saved_epochs, training_checkpoints
from icefall_discrete.training.progress import logged_to

TRAINING_DIR = "training"  # its usual name, in the folder of what is made
INPUTS = "inputs.json"
SYSTEM = "system.json"
# What is there before anything is saved.
_OF_A_BEGINNING = {INPUTS, SYSTEM, "log", "tensorboard", "bad-batches.jsonl", "bad-batches"}


class SystemRecord(NamedTuple):
    """What `system.json` says: the folder of systems/ where the system is, and settings that describe its network."""

    name: str
    settings: Dict[str, Any]


def write_system(folder: Path, name: str, settings: Mapping[str, Any]) -> None:
    """Write `system.json`."""
    write_json(folder / SYSTEM, {"system": name, "settings": dict(settings)})


def read_system(folder: Path) -> SystemRecord:
    """Read `system.json`."""
    record = read_shaped(folder / SYSTEM, {"system": TEXT, "settings": OBJECT}, "fit or train again")
    return SystemRecord(record["system"], record["settings"])


def refuse_former(path: Path) -> None:
    """Raise ValueError if there is a checkpoint of a kind that earlier versions wrote."""
    if path.is_file():
        raise ValueError(
            f"{path} is of a training that an earlier version began and that cannot be gone on with; move it aside "
            "and rerun to train anew."
        )


class FitFolder:
    """One such folder.

    Args:
      path: of the folder. name: of what is trained, for messages.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._name = name

    def begin(self, origin: Provenance) -> None:
        """Note what the training is made from, or see that an interrupted one was made from the same.

        One that ended before it had saved anything, as with settings that cannot be, holds nobody to its beginning.

        Raises:
          ValueError: if it was not.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        begun = Provenance.read_if_there(self.path / INPUTS)
        if begun is None or {path.name for path in self.path.iterdir()} <= _OF_A_BEGINNING:
            origin.write(self.path / INPUTS)
            return
        origin.require_same(
            begun,
            f"{self.path} holds an unfinished training of '{self._name}'",
            "rerun with what it was begun with, or move that folder aside to train anew",
        )

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """Keep a log in the folder; random generators are afterwards as they were before."""
        state = random_state.capture()
        try:
            with logged_to(self.path / "log", "log-train"):
                yield
        finally:
            random_state.restore(state)

    def finish(self) -> None:
        """Remove what served to go on: the outcome is written."""
        remove_weights(self.path)
        (self.path / INPUTS).unlink(missing_ok=True)


def remove_weights(exp_dir: Path) -> None:
    """Remove the weights and checkpoints of a training whose outcome is written elsewhere."""
    for path in [*training_checkpoints(exp_dir), *(epoch_path(exp_dir, epoch) for epoch in saved_epochs(exp_dir))]:
        path.unlink()
