"""One fault in the process of a stage, at a chosen moment: the n-th time that it begins to write, or to read, a file.

Python tells of each such moment by its audit events, before it happens. What is written from C is reached as well: the
disk becomes full by the limit of the system on a file's size, from that moment on.
"""

import errno
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.truncate", "os.rmdir")
NEEDS_SPACE = ("os.rename", "os.mkdir")


class Injection:
    """A fault for this process, and counts of the moments at which one may come.

    Args:
      below: only what is in this folder counts. fault: {"kind", "at": moment from 1, "room": bytes that a file may
        still get, of a full disk}; None: no fault. told: file for the counts, at the end.
    """

    def __init__(self, below: Path, fault: Optional[Dict[str, Any]], told: Path) -> None:
        self._below = str(below)
        self._fault = fault
        self._told = os.open(told, os.O_WRONLY | os.O_CREAT, 0o666)
        self._counts = {"writes": 0, "reads": 0}
        self._is_hit = self._is_done = False

    def begin(self) -> None:
        """Watch from now on; there is no end to it but that of the process."""
        sys.addaudithook(self._watch)

    def tell(self) -> None:
        """Write the counts."""
        self._is_done = True
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        os.pwrite(self._told, json.dumps({**self._counts, "hit": self._is_hit}).encode(), 0)

    def _watch(self, event: str, arguments: Tuple[Any, ...]) -> None:
        if self._is_done or not (event == "open" or event in CHANGES):
            return
        path = os.fspath(arguments[0]) if isinstance(arguments[0], (str, bytes, os.PathLike)) else ""
        if not os.fsdecode(path).startswith(self._below):
            return
        is_reading = event == "open" and not self._is_for_writing(arguments[1], arguments[2])
        name = "reads" if is_reading else "writes"
        self._counts[name] += 1
        fault = self._fault
        if fault is None or (fault["kind"] == "unreadable") != is_reading or self._counts[name] != fault["at"]:
            if fault is not None and self._is_hit and fault["kind"] == "full" and event in NEEDS_SPACE:
                self._no_space(path)
            return
        self._is_hit = True
        self.tell()
        self._is_done = False
        self._strike(fault, event, os.fsdecode(path))

    @staticmethod
    def _is_for_writing(mode: Optional[str], flags: Optional[int]) -> bool:
        if mode is not None:
            return any(letter in mode for letter in "wax+")
        return bool((flags or 0) & WRITING)

    def _strike(self, fault: Dict[str, Any], event: str, path: str) -> None:
        if fault["kind"] == "kill":
            os.killpg(0, signal.SIGKILL)
        if fault["kind"] == "unreadable":
            number = errno.EIO if fault.get("room", 0) % 2 else errno.EACCES
            raise OSError(number, os.strerror(number), path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["room"], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        if event in NEEDS_SPACE:
            self._no_space(path)

    @staticmethod
    def _no_space(path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
