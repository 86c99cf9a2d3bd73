"""Run stages' scripts in processes of their own, quickly: each is forked from one that has imported everything.

Requests and answers are lines of JSON on standard input and output. A request:

    {"script": "local/train.py", "arguments": [...], "output": "log.txt", "fault": {...} or null, "kill_after": seconds}

The answer: {"status": exit status, negative for a signal; "points": how many times it began to write and to read;
"hit": whether the fault came; "seconds"}. The whole process group of a stage is ended with it.
"""

import contextlib
import importlib
import json
import logging
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from injection import Injection

POLL_SEC = 0.002
LIMIT_SEC = 300.0
# What the stages import, so that each run starts at once.
MODULES = (
    *("torch", "lhotse", "sentencepiece", "soundfile", "sklearn", "matplotlib.pyplot", "kaldialign"),
    *("icefall_discrete.systems.asr.stages", "icefall_discrete.systems.codec.trained_codec"),
    *("icefall_discrete.extraction.extract", "icefall_discrete.extraction.fitting", "icefall_discrete.data.shar"),
    *("icefall_discrete.experiment.folder", "icefall_discrete.systems.language_model.training"),
)


def _import_all() -> None:
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"{name} cannot be imported", file=sys.stderr)


def _run(request: dict, told: Path, output: int) -> None:
    """In the child: become the stage."""
    os.setsid()
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.argv = [request["script"], *request["arguments"]]
    logging.getLogger().handlers.clear()
    injection = Injection(Path(request["below"]), request.get("fault"), told)
    status = 0
    try:
        injection.begin()
        runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # as the interpreter does
        traceback.print_exc()
        status = 1
    injection.tell()
    os._exit(status)


def _wait(child: int, kill_after: float) -> int:
    began = time.monotonic()
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() - began > kill_after:
            os.killpg(child, signal.SIGKILL)
        time.sleep(POLL_SEC)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


def _serve(request: dict, told: Path) -> int:
    # Not a file, which a full disk would cut short too.
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        _run(request, told, said)
    os.close(said)

    def listen() -> None:
        with open(heard, "rb") as stream, open(request["output"], "wb") as log:
            log.write(stream.read())

    listener = threading.Thread(target=listen)
    listener.start()
    status = _wait(child, request.get("kill_after") or LIMIT_SEC)
    listener.join()
    return status


def main() -> None:
    """Serve until there are no more requests."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _import_all()
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        told = Path(request["output"]).with_suffix(".points")
        told.unlink(missing_ok=True)
        began = time.monotonic()
        status = _serve(request, told)
        points = json.loads(told.read_text() or "{}") if told.is_file() else {}
        answers.write(json.dumps({"status": status, "seconds": time.monotonic() - began, **points}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
