"""Who is at work in a folder: one process at a time.

The lock is one of the operating system's, on the bytes of a small file. It is let go of when its process ends, however
it ends, here or on another machine that shares the folder, so that none outlives its holder or has to be removed by
hand; a process that only has the holder's old number has nothing of it, and processes that the
holder starts do not share in it. What the file says is for people.
"""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Iterator, Optional

from icefall_discrete.base.atomic_files import PathLike, cannot_write

LOG = logging.getLogger(__name__)
LOCK_FILE = ".at-work"
# Processes that lose the one that started them need so long to end.
PATIENCE_SEC = 5.0
_POLL_SEC = 0.1
_HELD = (errno.EACCES, errno.EAGAIN)
_SHOWN_BYTES = 2000


def _me() -> str:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()} since {since} ({command})"


def _is_locked(descriptor: int, path: Path) -> bool:
    """Try to take the lock; True as well where there are none to be had."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        LOG.warning("%s: no lock can be had (%s); see to it that nobody else works there", path, error.strerror)
    return True


def _is_there(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name: the holder of before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _take(path: Path, what: str, patience_sec: float) -> int:
    """Descriptor of the locked file."""
    deadline = time.monotonic() + patience_sec
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _is_locked(descriptor, path):
            if _is_there(descriptor, path):
                return descriptor
        elif time.monotonic() > deadline:
            who = " ".join(os.pread(descriptor, _SHOWN_BYTES, 0).decode(errors="replace").split())
            os.close(descriptor)
            raise RuntimeError(
                f"{who or 'another process'} is at work on {what}; wait for it, end it, or choose another folder."
            )
        os.close(descriptor)
        time.sleep(_POLL_SEC)


@contextlib.contextmanager
def at_work(path: PathLike, what: str, patience_sec: Optional[float] = None) -> Iterator[None]:
    """Hold the lock of the file `path`, which is there while the context lasts.

    Args:
      path: in the folder, or beside one that may be moved. what: it is about, for the error.
      patience_sec: how long another process that holds it is waited for; PATIENCE_SEC if it is not said.
    Raises:
      RuntimeError: if another process holds it: which one, where, and since when.
      OSError: if the file cannot be made.
    """
    path = Path(path)
    is_new = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _take(path, what, PATIENCE_SEC if patience_sec is None else patience_sec)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with contextlib.suppress(OSError):  # of a full disk
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{_me()}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may have been moved
            path.unlink()
            if is_new:
                path.parent.rmdir()  # unless something was made in it
        os.close(descriptor)
