#!/usr/bin/env python3
"""Runs Python scripts one after the other, each in a fork of a process that has imported the heavy packages already.

A recording runs some forty scripts, and importing torch and lhotse takes most of the time of a short one. Nothing of
this project is imported before the fork, so a script finds what it would find in a fresh interpreter.

Protocol, one JSON object a line: first what this interpreter is goes to standard output; then each job from standard
input, {"argv": [script, flag ...], "cwd": folder, "stdout": file, "log": file}, is answered by {"status": exit status}.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import platform
import runpy
import sys
import traceback
from typing import Any, Dict

PACKAGES = (
    *("torch", "lhotse", "sentencepiece", "soundfile", "safetensors.torch", "sklearn.cluster", "kaldi_native_fbank"),
    *("ctranslate2", "k2", "torch.utils.tensorboard"),
)
LIBRARY = "icefall_discrete"


def forget_installed_library() -> None:
    """Take away the finder of an editable install, which lends modules that the recorded checkout does not have."""
    sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in str(getattr(finder, "__module__", ""))]


def preload() -> Dict[str, Any]:
    """Import what can be imported; says what this interpreter is, and where it finds the library."""
    forget_installed_library()
    found = []
    for name in PACKAGES:
        with contextlib.suppress(ImportError, OSError):
            importlib.import_module(name)
            found.append(name)
    if LIBRARY in sys.modules:
        raise RuntimeError(f"{LIBRARY} is imported by a package; what is recorded would not be a fresh one.")
    library = importlib.util.find_spec(LIBRARY)
    versions = {"python": platform.python_version()}
    versions.update({name: sys.modules[name].__version__ for name in ("torch", "lhotse") if name in found})
    return {"library": library.origin if library else None, "packages": found, "versions": versions}


def run_script(job: Dict[str, Any]) -> int:
    """Run a script as its own process would; returns the exit status."""
    for path, mode, number in ((os.devnull, os.O_RDONLY, 0), *_outputs(job)):
        os.dup2(os.open(path, mode), number)
    os.chdir(job["cwd"])
    sys.argv = job["argv"]
    sys.path[0] = os.path.dirname(job["argv"][0])
    try:
        runpy.run_path(job["argv"][0], run_name="__main__")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _outputs(job: Dict[str, Any]):
    return (
        (job["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 1),
        (job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 2),
    )


def in_fork(job: Dict[str, Any]) -> int:
    """The exit status of the script, run in a child of this process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = run_script(job)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Answer jobs until there are no more."""
    print(json.dumps(preload()), flush=True)
    for line in sys.stdin:
        print(json.dumps({"status": in_fork(json.loads(line))}), flush=True)


if __name__ == "__main__":
    main()
