"""Batches that training cannot use: named, saved so that they can be replayed, and left out or the end of the run."""

import json
import logging
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from icefall_discrete.base.checkpoint import save_checkpoint
from icefall_discrete.base.script import one_sentence
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.progress import Progress
from icefall_discrete.training.system import Batch, System

LOG = logging.getLogger(__name__)
Snapshot = Callable[[], Dict[str, Any]]
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc")


def shape_of(batch: Batch) -> str:
    """Utterances and padded frames (where there are such) of a batch, as a person reads them."""
    padded = f" padded to {int(batch['frame_lens'].max())} frames" if "frame_lens" in batch else ""
    return f"{len(batch['cut_ids'])} utterances{padded}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


class BadBatches:
    """Rule for non-finite losses and gradients: leave the step out, and stop after more than `limit` in a run.

    Each step that was left out is a line of `bad-batches.jsonl`. A process whose batch is to blame also saves it, with
    the weights and the noise it met, as `bad-batches/epoch-E-batch-B-rank-R.pt` for local/replay_batch.py. An error in
    a step saves its batch in the same way, and ends the run.

    Args:
      exp_dir: where the files go. limit: how many may be left out. group: the processes that train together.
      system: says what a person may do.
    """

    def __init__(self, exp_dir: Path, limit: int, group: Group, system: System) -> None:
        self.path = exp_dir / "bad-batches.jsonl"
        self.folder = exp_dir / "bad-batches"
        self._limit = limit
        self._group = group
        self._system = system

    def save(self, progress: Progress, snapshot: Snapshot) -> Path:
        """Save what a replay needs."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"epoch-{progress.epoch}-batch-{progress.batch}-rank-{self._group.rank}.pt"
        save_checkpoint(path, snapshot())
        return path

    def leave_out(self, batches: List[Batch], reason: Optional[str], progress: Progress, snapshot: Snapshot) -> None:
        """Record the batches of a step that all processes leave out; `reason` is None where another one is to blame.

        Raises:
          RuntimeError: if there were more than the limit.
        """
        own = None
        if reason is not None:
            cut_ids = [cut_id for batch in batches for cut_id in batch["cut_ids"]]
            path = self.save(progress, snapshot)
            own = {
                "rank": self._group.rank,
                "reason": reason,
                "cut_ids": cut_ids,
                "saved": f"{path.parent.name}/{path.name}",
            }
        found = [one for one in self._group.gather(own) if one is not None]
        progress.bad_batches += 1
        place = {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step}
        if self._group.is_main:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.writelines(json.dumps({**place, **one}, ensure_ascii=False) + "\n" for one in found)
        first = found[0]
        shown = _shortened(first["cut_ids"])
        LOG.warning(
            f"Epoch {progress.epoch}, batch {progress.batch}: {first['reason']}; left out. Its cuts: {shown}. To look "
            f"into it: local/replay_batch.py --exp-dir {self.folder.parent} --batch {first['saved']}"
        )
        if progress.bad_batches > self._limit:
            raise RuntimeError(
                f"{progress.bad_batches} batches were not finite, the last ({first['reason']}) with the cuts {shown}; "
                f"max_bad_batches allows {self._limit}. All are listed in {self.path}, and local/replay_batch.py says "
                f"where they go wrong: {self._system.if_not_finite}."
            )

    def failed(
        self, batches: List[Batch], error: BaseException, progress: Progress, snapshot: Snapshot
    ) -> RuntimeError:
        """Save the batches of a step that raised `error`, and return the error that ends the run."""
        path = self.save(progress, snapshot)
        shown = _shortened([cut_id for batch in batches for cut_id in batch["cut_ids"]])
        what = one_sentence(error)
        if is_out_of_memory(error):
            what = f"out of memory on {shape_of(batches[-1])} ({what}); {self._system.if_too_large}"
        place = f"epoch {progress.epoch}, batch {progress.batch} (cuts {shown})"
        return RuntimeError(f"{place}: {what.rstrip('.')}. The batch is in {path}.")


def _shortened(cut_ids: List[str]) -> str:
    return ", ".join(cut_ids[:5]) + (f" and {len(cut_ids) - 5} more" if len(cut_ids) > 5 else "")
