"""The commands of a checkout, run by a given interpreter on one thread of the CPU."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Sequence

HERE = Path(__file__).resolve().parent
# Bits depend on how sums are split over threads.
FIXED = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONIOENCODING": "utf-8",
    "TQDM_DISABLE": "1",
}
SHOWN_LINES = 5


def environment_of(python: Path, root: Path, scratch: Path) -> Dict[str, str]:
    """Variables for the commands: those of the interpreter's exports.sh, if it has one, and the code of `root`.

    exports.sh is asked for since some of its variables choose the arithmetic (MKL_DEBUG_CPU_TYPE).
    """
    exports = python.parent.parent / "exports.sh"
    variables = dict(os.environ)
    if exports.is_file():
        shell = ["bash", "-c", '. "$1" && env -0', "bash", str(exports)]
        listed = subprocess.run(shell, capture_output=True, check=True).stdout.decode()
        variables = dict(item.split("=", 1) for item in listed.split("\0") if "=" in item)
    # Compiled modules go to the scratch folder, so that the checkout stays as it is.
    return {**variables, **FIXED, "PYTHONPATH": str(root), "PYTHONPYCACHEPREFIX": str(scratch / "pycache")}


class Commands:
    """Runs scripts in forks of one interpreter (preloaded.py), in a scratch folder with a log for each.

    Args:
      python: the interpreter. root: checkout whose library is imported. scratch: folder for logs.
    Raises:
      RuntimeError: if the interpreter imports the library from elsewhere, or cannot be started.
    """

    def __init__(self, python: Path, root: Path, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.python, self.scratch = python, scratch
        self._server = subprocess.Popen(
            [str(python), str(HERE / "preloaded.py")],
            env=environment_of(python, root, scratch),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.interpreter = self._answer()
        library = self.interpreter["library"]
        if library is None or not Path(library).resolve().is_relative_to(root):
            raise RuntimeError(f"{python} imports the library from {library}, not from {root}; see PYTHONPATH.")

    def _answer(self) -> Dict[str, Any]:
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.python} ended with status {self._server.wait()}; its message is above.")
        return json.loads(line)

    @property
    def has_k2(self) -> bool:
        """Whether the interpreter can import k2."""
        return "k2" in self.interpreter["packages"]

    def run(self, name: str, script: Path, flags: Sequence[object]) -> str:
        """Run a script with flags; returns what it wrote to standard output.

        Raises:
          RuntimeError: with the last lines of its log, if it fails.
        """
        stdout, log = self.scratch / f"{name}.out", self.scratch / f"{name}.log"
        argv: List[str] = [str(script), *map(str, flags)]
        job = {"argv": argv, "cwd": str(self.scratch), "stdout": str(stdout), "log": str(log)}
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        status = self._answer()["status"]
        if status != 0:
            words = log.read_text(encoding="utf-8").splitlines()[-SHOWN_LINES:]
            raise RuntimeError(f"{' '.join(argv)} ended with status {status} ({log}): {' / '.join(words)}")
        return stdout.read_text(encoding="utf-8")

    def close(self) -> None:
        """End the interpreter."""
        self._server.stdin.close()
        self._server.wait()
