"""Stages of a short pipeline without the seconds in which Python reads torch: they are forked from a process that has.

Two thirds of a short pipeline would be that. What is ours a stage imports anew, in a process of its own, with the
descriptors, the folder and the variables that run.sh gave it; warm_start/sitecustomize.py asks for it in its place.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Dict

from forked import status_of

HERE = Path(__file__).resolve().parent
VARIABLE = "ICEFALL_DISCRETE_WARM_PYTHON"
MODULES = (
    *("torch", "torch.distributed", "lhotse", "k2", "scipy.signal", "sklearn.cluster", "soundfile", "av"),
    *("sentencepiece", "kaldialign", "kaldi_native_fbank", "matplotlib.pyplot", "num2words", "ctranslate2"),
)


def _become(connection: socket.socket) -> None:
    """In the child: the script that is asked for, as the interpreter runs it; never returns."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile().readline())
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = str(Path(request["words"][0]).resolve().parent)
    status = status_of(request["words"])
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    connection.sendall(f"{status}\n".encode())
    os._exit(0)


def _serve(listener: socket.socket) -> None:
    """Fork a child for each request, until the process that began this one has ended."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(sys.stdin, selectors.EVENT_READ)
        waiting.register(listener, selectors.EVENT_READ)
        while sys.stdin not in [key.fileobj for key, _ in waiting.select()]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become(connection)
            connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


@functools.cache
def warm_variables() -> Dict[str, str]:
    """Variables for run.sh that let its stages be forked from a process which ends with this one."""
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    paths = [str(HERE / "warm_start"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {VARIABLE: server.stdout.readline().strip(), "PYTHONPATH": os.pathsep.join(paths)}


def main() -> None:
    """Import, say where requests are taken, and serve."""
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    folder = tempfile.mkdtemp()  # a TemporaryDirectory would be removed where the first child ends
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/requests")
        listener.listen()
        print(f"{folder}/requests", flush=True)
        _serve(listener)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
