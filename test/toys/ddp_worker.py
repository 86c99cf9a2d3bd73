"""One of the processes of test_distributed.py: trains in several ways and leaves what it saw as JSON.

Arguments: folder of the corpus, folder for results.
"""

import contextlib
import dataclasses
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from quiet_forward import without_noise
from synthetic_codes import make_trainer

from icefall_discrete.training.distributed import joined_group

NO_NOISE = {"model__dropout": [0.0], "augment__augment_start_epoch": 9, "train__try_largest_batches": False}


class Killed(Exception):
    pass


def stopped(data, num_batches, error):
    """The same data, but `error` is raised instead of batch number `num_batches`, from 0."""

    def train_batches(epoch, start):
        for index, batch in enumerate(data.train_batches(epoch, start)):
            if index == num_batches and error is not None:
                raise error
            yield batch

    return dataclasses.replace(data, train_batches=train_batches)


def recorded(data, seen):
    """The same data; `seen` gets, for each epoch, the cuts of each batch."""

    def train_batches(epoch, start):
        batches = list(data.train_batches(epoch, start))
        seen.append([batch["cut_ids"] for batch in batches])
        return batches

    return dataclasses.replace(data, train_batches=train_batches)


def losses_of(summary):
    return [[record["train"], record["valid"], record["lr"], record["step"]] for record in summary["epochs"]]


def train(corpus, exp_dir, group, **changes):
    trainer, data = make_trainer(corpus, exp_dir, group, **changes)
    return losses_of(trainer.fit(data))


def killed_and_resumed(corpus, exp_dir, group):
    trainer, data = make_trainer(corpus, exp_dir, group, train__save_every_n=1)
    with contextlib.suppress(Killed):
        trainer.fit(stopped(data, 2, Killed()))
    return train(corpus, exp_dir, group, train__save_every_n=1)


def with_bad_batch(corpus, exp_dir, group):
    """The second batch of process 1 gives NaN."""
    trainer, data = make_trainer(corpus, exp_dir, group, train__num_epochs=1, train__try_largest_batches=False)
    calls = [0]

    def break_second(module, inputs, output):
        calls[0] += module.training
        bad = group.rank == 1 and module.training and calls[0] == 2
        return output * float("nan") if bad else output

    trainer.model.input_embedding.register_forward_hook(break_second)
    summary = trainer.fit(data)
    finite = all(bool(value.isfinite().all()) for value in trainer.model.state_dict().values())
    return {"bad_batches": summary["bad_batches"], "finite": finite}


def quietly(corpus, exp_dir, group, seen, **changes):
    """Train after `without_noise`; `seen` gets losses, and the cuts of each batch, by the name of the folder."""
    trainer, data = make_trainer(corpus, exp_dir, group, **NO_NOISE, **changes)
    cuts = seen[f"{exp_dir.name}_cuts"] = []
    seen[exp_dir.name] = losses_of(trainer.fit(recorded(data, cuts)))


def main():
    corpus, results = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    seen = {}
    with joined_group("cpu") as group:
        report = results / f"rank-{group.rank}.json"
        seen["whole"] = train(corpus, results / "whole", group)
        seen["resumed"] = killed_and_resumed(corpus, results / "resumed", group)
        seen["bad"] = with_bad_batch(corpus, results / "bad", group)
        without_noise()
        quietly(corpus, results / "quiet", group, seen)
        quietly(corpus, results / "accumulated", group, seen, train__accum_grad=2)
        report.write_text(json.dumps(seen))
        trainer, data = make_trainer(corpus, results / "failed", group, **NO_NOISE)
        error = ValueError("this cut has no codes.") if group.rank == 1 else None
        trainer.fit(stopped(data, 1, error))


if __name__ == "__main__":
    from icefall_discrete.base.script import run_script

    run_script(main)
