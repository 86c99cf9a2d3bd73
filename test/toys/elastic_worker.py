"""Two processes of torchrun's agent, of which one is killed in the midst of training and all are started again.

Arguments: folder of the corpus, experiment folder. What each of them saw at the end is left there as JSON.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ddp_worker import losses_of
from synthetic_codes import Killed, killed_after, make_trainer

from icefall_discrete.training.distributed import joined_group


def train(corpus, exp_dir):
    """What each process does; the second is killed where it is started for the first time."""
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    with joined_group("cpu") as group:
        trainer, data = make_trainer(Path(corpus), Path(exp_dir), group, train__save_every_n=2)
        try:
            summary = trainer.fit(killed_after(data, 3) if attempt == 0 and group.rank == 1 else data)
        except Killed:
            os.kill(os.getpid(), signal.SIGKILL)
        seen = {"attempt": attempt, "losses": losses_of(summary)}
        (Path(exp_dir) / f"rank-{group.rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    torch.set_num_threads(1)
    # As torchrun --standalone --nproc-per-node 2 --max-restarts 1; copies of this process need not import it all again.
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        max_restarts=1,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id="elastic",
        start_method="fork",
        monitor_interval=0.1,
    )
    elastic_launch(config, train)(*sys.argv[1:])
