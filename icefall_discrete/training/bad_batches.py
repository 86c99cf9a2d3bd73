"""Batches whose loss or gradients are not finite: named, written down, left out, and at most so many of them."""

import json
import logging
from pathlib import Path
from typing import Any, List, Mapping

from icefall_discrete.training.progress import Progress

LOG = logging.getLogger(__name__)


class BadBatches:
    """Rule for non-finite losses and gradients: leave the batch out, and stop after more than `limit` in a run.

    Each is appended to `bad-batches.jsonl` with its position, cut ids and reason, so that it can be looked at.

    Args:
      exp_dir: where the file goes. limit: how many may be left out. active: whether this process writes.
    """

    def __init__(self, exp_dir: Path, limit: int, active: bool) -> None:
        self.path = exp_dir / "bad-batches.jsonl"
        self._limit = limit
        self._active = active

    def leave_out(self, batches: List[Mapping[str, Any]], reason: str, progress: Progress) -> None:
        """Record the batches of a step that was left out.

        Raises:
          RuntimeError: if there were more than the limit.
        """
        cut_ids = [cut_id for batch in batches for cut_id in batch["cut_ids"]]
        progress.bad_batches += 1
        if self._active:
            record = {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step, "reason": reason}
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({**record, "cut_ids": cut_ids}, ensure_ascii=False) + "\n")
        shown = ", ".join(cut_ids[:5]) + (f" and {len(cut_ids) - 5} more" if len(cut_ids) > 5 else "")
        LOG.warning(f"Epoch {progress.epoch}, batch {progress.batch}: {reason}; left out. Its cuts: {shown}.")
        if progress.bad_batches > self._limit:
            raise RuntimeError(
                f"{progress.bad_batches} batches were not finite, the last ({reason}) with the cuts {shown}; "
                f"--max-bad-batches allows {self._limit}. All are listed in {self.path}. Look at those cuts, or lower "
                "--base-lr and train anew."
            )
