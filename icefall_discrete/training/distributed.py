"""One process or several: who am I, add up figures, and end together when one of them fails.

Processes are numbered by torchrun's environment variables. `launch` sets the same ones for processes on this machine.
"""

import atexit
import contextlib
import dataclasses
import os
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Mapping, NoReturn, Optional

import torch
import torch.distributed as dist

from icefall_discrete.base.script import one_sentence

_POLL_SEC = 1.0
# How long a process that another one's failure has stopped may take to say so before it is ended from within.
_GRACE_SEC = 10.0
# Descriptor of a pipe from the launcher, where there is one.
LIFELINE = "ICEFALL_DISCRETE_LIFELINE"
# What gloo and NCCL say when the process at the other end is gone.
_LOST_PEER = ("onnection closed by peer", "onnection reset by peer", "Socket closed", "remote process exited")


@dataclasses.dataclass(frozen=True)
class Group:
    """This process among those that train together, as torchrun numbers them; a single process is rank 0 of 1."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and the log."""
        return self.rank == 0

    def sum(self, values: Mapping[str, float], device: torch.device) -> Dict[str, float]:
        """Sum each value over all processes; every process passes the same keys."""
        if self.world_size == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return dict(zip(values, total.tolist()))

    def gather(self, value: Any) -> List[Any]:
        """The values of all processes by rank."""
        if self.world_size == 1:
            return [value]
        values: List[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process, so that all take the same decision."""
        return any(self.gather(flag))


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error only says that another process is gone."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST_PEER)


class FailureBoard:
    """The store where the processes met, with what the first process that failed had to say.

    A connection of its own, so that it works while the process waits in a collective operation. It is watched from the
    beginning until `close`.
    """

    def __init__(self, group: Group) -> None:
        self._store = _store_of_attempt()
        self._group = group
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def post(self, sentence: str) -> None:
        """Leave the reason of this process, unless another one was first."""
        if self._store.add("failures", 1) == 1:
            self._store.set("reason", f"process {self._group.rank}: {sentence}")
        if self._group.is_main and not _has_agent_store():
            time.sleep(2 * _POLL_SEC)  # the store ends with this process; the others are still to read it

    def read(self) -> Optional[str]:
        """The reason of the first process that failed, or None."""
        return self._store.get("reason").decode() if self._store.add("failures", 0) > 0 else None

    def _watch(self) -> None:
        """End this process if another one failed and a collective operation does not notice; runs in a thread."""
        try:
            while not self._done.wait(_POLL_SEC):
                reason = self.read()
                if reason is not None and not self._done.wait(_GRACE_SEC):
                    print(f"error: {reason}", file=sys.stderr, flush=True)
                    os._exit(1)
        except RuntimeError:
            if _has_agent_store() and not self._done.is_set():  # it was kept by the launcher, which is gone
                _end_alone()
            return  # the process that kept it is gone, and the next collective operation says so

    def close(self) -> None:
        """Stop watching.

        The thread is waited for: one that comes back from the store while the interpreter ends is unwound through C++
        that allows no exception, and takes the process with it ("terminate called without an active exception").
        """
        self._done.set()
        self._watcher.join(_GRACE_SEC)


def _store_of_attempt() -> dist.Store:
    """A connection to where the processes meet, for what those say that were started together.

    A launcher that starts processes again after a failure keeps the store, and with it the addresses of those that are
    gone; torch 2.13 takes them for the new ones, and waits for them.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, is_master=False, timeout=dist.default_pg_timeout)
    return dist.PrefixStore(f"icefall_discrete/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _has_agent_store() -> bool:
    """Whether a launcher keeps the store where the processes meet, not the first of them."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _end_alone() -> None:
    print(
        "error: what started this process is gone, killed perhaps; rerun the same command.", file=sys.stderr, flush=True
    )
    os._exit(1)


def _end_with_launcher() -> None:
    """Wait until the launcher is gone, then end this process; runs in a thread."""
    # Nobody writes to the pipe: reading ends with the process that holds its other end.
    if os.read(int(os.environ[LIFELINE]), 1) == b"":
        _end_alone()


@contextlib.contextmanager
def joined_group(device_type: str) -> Iterator[Group]:
    """Join the group that torchrun describes in RANK, WORLD_SIZE and LOCAL_RANK; without them there is one process.

    An error in one process ends the others too, each with the sentence of the process that failed first.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Group()
        return
    if LIFELINE in os.environ:
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    group = Group(int(os.environ["RANK"]), world_size, int(os.environ.get("LOCAL_RANK", "0")))
    if device_type == "cuda":
        if group.local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"process {group.rank} is number {group.local_rank} (from 0) on its machine, which has "
                f"{torch.cuda.device_count()} CUDA devices; start at most that many processes on it."
            )
        torch.cuda.set_device(group.local_rank)
    store = _store_of_attempt() if _has_agent_store() else None  # none: rank, size and store by the environment
    known = (-1, -1) if store is None else (group.rank, world_size)
    dist.init_process_group(
        "nccl" if device_type == "cuda" else "gloo", store=store, rank=known[0], world_size=known[1]
    )
    board = FailureBoard(group)
    try:
        yield group
    except BaseException as error:
        board.close()
        reason = board.read()
        if reason is not None:
            raise RuntimeError(reason) from error
        if is_lost_peer(error):
            raise RuntimeError(
                f"another process was ended from outside, killed perhaps ({one_sentence(error)})."
            ) from error
        board.post(one_sentence(error))
        raise
    board.close()
    dist.destroy_process_group()


def leave() -> NoReturn:
    """End this process, one of several, its work being done: what is to be done at exit, and no more.

    Threads of the group (gloo's among them) may still be with a tensor of Python's: one that wants to let go of it
    while the interpreter ends is unwound through C++ that allows no exception, and takes the process with it
    ("terminate called without an active exception", status 134).
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
