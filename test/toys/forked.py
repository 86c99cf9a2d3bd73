"""Run a script of ours as a process of its own that need not import torch again: it is forked from the test's.

`subprocess` would prove no more, and takes seconds for the imports alone. Tests run in one thread, so that no lock of
another one is held in the child for ever.
"""

import logging
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Sequence

ROOT = Path(__file__).resolve().parents[2]


def status_of(words: Sequence[str]) -> int:
    """Run a script with its arguments here, as the interpreter does that was told to; returns the exit status."""
    sys.argv = list(words)
    status = 0
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:  # as the interpreter does
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _become(words: Sequence[str], streams: list) -> None:
    """In the child: the script; never returns."""
    for number, stream in zip((1, 2), streams):
        os.dup2(stream.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    logging.getLogger().handlers.clear()
    os._exit(status_of(words))


def run_forked(script: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run `script`, a path from the repository's root, to its end, there; returns what subprocess.run would."""
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.chdir(ROOT)
            _become([str(ROOT / script), *words], [out, err])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8"))
    return subprocess.CompletedProcess([script, *words], status, *texts)
