"""Everything that the next step of training depends on, saved and loaded together: resuming is exact."""

import logging
from pathlib import Path
from typing import Any, Dict, Mapping

from icefall_discrete.base import random_state
from icefall_discrete.base.checkpoint import holding_what_we_write, load_checkpoint, save_checkpoint
from icefall_discrete.training.averages import remove_old_checkpoints, training_checkpoints
from icefall_discrete.training.optimization import OtherGroups
from icefall_discrete.training.placement import Placement, Stateful
from icefall_discrete.training.progress import Progress
from icefall_discrete.training.system import System

LOG = logging.getLogger(__name__)


class Noise:
    """What decides about this process's noise: its random generators, and what a system knows besides."""

    def __init__(self, system: System) -> None:
        self._system = system

    def state_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return {**random_state.capture(), **self._system.noise_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        random_state.restore(state)
        self._system.load_noise_state(state)


class ResumePoints:
    """The files `checkpoint-<step>.pt` of an experiment folder.

    Args:
      exp_dir: the folder. keep_last_k: number of files kept. placement: of the weights, and the processes that train
      together. noise: this process's. progress: where training stands. parts: what else a checkpoint holds, by name.
    """

    def __init__(
        self,
        exp_dir: Path,
        keep_last_k: int,
        placement: Placement,
        noise: Noise,
        progress: Progress,
        parts: Mapping[str, Stateful],
    ) -> None:
        self.exp_dir = exp_dir
        self.keep_last_k = keep_last_k
        self.group, self._placement = placement.group, placement
        self.noise = noise
        self.progress = progress
        self.parts = {**{name: placement.whole(part) for name, part in parts.items()}, "progress": progress}
        self.saved_step = -1

    def save(self) -> None:
        """Write the state of now, and remove older files than the last k."""
        noise = self.group.gather(self.noise.state_dict())
        self.saved_step = self.progress.step
        state = {name: part.state_dict() for name, part in self.parts.items()} if self._placement.takes_part else {}
        if self.group.is_main:
            state.update(step=self.progress.step, noise=noise)
            save_checkpoint(self.exp_dir / f"checkpoint-{self.progress.step}.pt", state)
            remove_old_checkpoints(self.exp_dir, self.keep_last_k)

    def load_newest(self) -> None:
        """Take over the newest file, if there is one.

        Raises:
          ValueError: if it was written within an epoch by another number of processes, which had other batches.
        """
        # The first process says which: another one may look before a file is there, or on another machine's disk.
        names = [path.name for path in training_checkpoints(self.exp_dir)] if self.group.is_main else []
        names = self.group.gather(names)[0]
        if not names:
            return
        path = self.exp_dir / names[-1]
        state = load_checkpoint(path)
        absent = sorted({*self.parts, "noise"} - set(state))
        if absent:
            raise ValueError(f"{path} has no {', '.join(absent)}: it is of another version; move it aside and rerun.")
        with holding_what_we_write(path):
            self._take_over(state, path)
        LOG.info(f"Resumed from {path.name}: epoch {self.progress.epoch}, after batch {self.progress.batch}.")

    def _take_over(self, state: Mapping[str, Any], path: Path) -> None:
        noise = state["noise"]
        if state["progress"]["batch"] > 0 and len(noise) != self.group.world_size:
            raise ValueError(
                f"{path} was written within epoch {state['progress']['epoch']} by {len(noise)} processes, and "
                f"there are {self.group.world_size} now, which would have other batches; go on with as many "
                f"(--world-size {len(noise)}), or move the checkpoints within the epoch aside."
            )
        for name, part in self.parts.items():
            try:
                part.load_state_dict(state[name])
            except OtherGroups as error:
                raise ValueError(
                    f"{path}: {error}, as adapters and LoRA have steps of their own now, or others learn; it was made "
                    "with another version or other settings. Train anew with another --exp-dir."
                ) from None
            except ValueError as error:
                reason = str(error).rstrip(".")
                raise ValueError(
                    f"{path}: {reason}; move it aside and rerun, which goes on from the one before."
                ) from None
        if self.group.rank < len(noise):
            self.noise.load_state_dict(noise[self.group.rank])
        self.saved_step = self.progress.step
