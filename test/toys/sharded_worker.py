"""One of the processes of test_divided_weights.py: trains with whole or divided weights, and leaves what it saw.

Arguments: folder of the corpus, folder for results.
"""

import contextlib
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ddp_worker import losses_of
from synthetic_codes import Killed, killed_after, make_trainer

from icefall_discrete.training.distributed import joined_group


def uneven_trainer(corpus, exp_dir, group, **changes):
    """A trainer, and data with one batch to validate on for two processes."""
    trainer, data = make_trainer(corpus, exp_dir, group, **changes)
    return trainer, dataclasses.replace(data, valid_batches=lambda: list(data.valid_batches())[:1])


def elements_of(trainer):
    """Numbers that this process holds, in weights with their moments, and how many there are."""
    values = list(trainer.model.parameters())
    kept = [value for state in trainer.optimizer.state.values() for value in state.values() if value.ndim > 0]
    held = sum(getattr(value, "_local_tensor", value).numel() for value in (*values, *kept))
    return held, sum(value.numel() for value in (*values, *kept))


def train(corpus, exp_dir, group, **changes):
    trainer, data = uneven_trainer(corpus, exp_dir, group, **changes)
    return trainer, losses_of(trainer.fit(data))


def killed_and_resumed(corpus, exp_dir, group, *divided):
    """Killed after three batches each time but the last; whether weights are divided is told for each time."""
    for sharded in divided[:-1]:
        trainer, data = uneven_trainer(corpus, exp_dir, group, train__save_every_n=1, train__sharded=sharded)
        with contextlib.suppress(Killed):
            trainer.fit(killed_after(data, 3))
    return train(corpus, exp_dir, group, train__sharded=divided[-1])[1]


def with_bad_batch(corpus, exp_dir, group):
    """The second batch of process 1 gives NaN."""
    trainer, data = make_trainer(
        corpus, exp_dir, group, train__num_epochs=1, train__sharded=True, train__try_largest_batches=False
    )
    calls = [0]

    def break_second(module, inputs, output):
        calls[0] += module.training
        return output * float("nan") if group.rank == 1 and module.training and calls[0] == 2 else output

    trainer.model.input_embedding.register_forward_hook(break_second)
    return trainer.fit(data)["bad_batches"]


def main():
    corpus, results = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    seen = {}
    with joined_group("cpu") as group:
        seen["whole"] = train(corpus, results / "whole", group)[1]
        trainer, seen["sharded"] = train(corpus, results / "sharded", group, train__sharded=True)
        seen["elements"] = elements_of(trainer)
        seen["resumed"] = killed_and_resumed(corpus, results / "resumed", group, True, True)
        seen["by turns"] = killed_and_resumed(corpus, results / "by turns", group, True, False, True)
        for sharded, name in ((False, "whole"), (True, "divided")):
            changes = {"train__num_epochs": 1, "train__accum_grad": 2, "train__sharded": sharded}
            seen[f"accumulated, {name}"] = train(corpus, results / f"accumulated-{name}", group, **changes)[1]
        seen["bad"] = with_bad_batch(corpus, results / "bad", group)
        (results / f"rank-{group.rank}.json").write_text(json.dumps(seen))
        trainer, data = uneven_trainer(corpus, results / "killed", group, train__sharded=True)
        try:
            trainer.fit(killed_after(data, 1) if group.rank == 1 else data)
        except Killed:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from icefall_discrete.base.script import run_script

    run_script(main)
