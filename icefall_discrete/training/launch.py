"""Start the processes that train together on this machine, and end all of them when one fails."""

import contextlib
import os
import signal
import subprocess
import time
from typing import Iterator, List, Sequence

import torch.distributed as dist

from icefall_discrete.training.distributed import LIFELINE

_POLL_SEC = 0.1
# How long the others may take to end by themselves, with the sentence of the process that failed.
_GRACE_SEC = 15.0


def launch(command: Sequence[str], world_size: int, master_port: int) -> int:
    """Run `command` in `world_size` processes, numbered as torchrun numbers them; return the exit status.

    The store where they meet is kept here, so that it outlives each of them.

    Args:
      command: program and arguments. master_port: where they meet; 0 for any free port.
    Raises:
      RuntimeError: if a signal ended one of them.
    """
    if world_size < 1:
        raise ValueError(f"--world-size is {world_size}, expected at least 1 process.")
    store = dist.TCPStore("127.0.0.1", master_port, is_master=True, wait_for_workers=False)
    shared = {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // world_size)),
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    processes: List[subprocess.Popen] = []
    with _lifeline() as lifeline, _ended_at_exit(processes):
        for rank in range(world_size):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), LIFELINE: str(lifeline)}
            processes.append(subprocess.Popen(list(command), env={**shared, **own}, pass_fds=(lifeline,)))
        return _wait(processes)


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """The end of a pipe to read from; this process alone holds the other one, so that the pipe tells of its end."""
    ends = os.pipe()
    try:
        yield ends[0]
    finally:
        for end in ends:
            os.close(end)


@contextlib.contextmanager
def _ended_at_exit(processes: List[subprocess.Popen]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _wait(processes: List[subprocess.Popen]) -> int:
    """Wait for all, or for the first failure and a while longer; return the status of the first that failed, or 0."""
    while True:
        states = [process.poll() for process in processes]
        failed = [rank for rank, state in enumerate(states) if state not in (None, 0)]
        if failed:
            break
        if None not in states:
            return 0
        time.sleep(_POLL_SEC)
    deadline = time.monotonic() + _GRACE_SEC
    while time.monotonic() < deadline and any(process.poll() is None for process in processes):
        time.sleep(_POLL_SEC)
    # A process that lost its peers may abort; the signal that tells something is another one.
    signals = [-process.returncode if (process.poll() or 0) < 0 else 0 for process in processes]
    killed = [rank for rank, number in enumerate(signals) if number not in (0, signal.SIGABRT)]
    if killed:
        raise RuntimeError(
            f"process {killed[0]} of {len(processes)} was ended by signal {signals[killed[0]]} (9 is often lack of "
            "memory); rerun the same command to go on from the last checkpoint."
        )
    return abs(processes[failed[0]].returncode)
