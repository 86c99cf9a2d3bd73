"""What made a result: versions, commit, machine and command line, for env.json."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

PACKAGES = (
    "torch",
    "k2",
    "lhotse",
    "numpy",
    "sentencepiece",
    "transformers",
    "ctranslate2",
    "kaldialign",
    "scikit-learn",
)


def installed_versions() -> Dict[str, str]:
    """Versions of the packages that can change a result; an absent package is left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git(*arguments: str) -> str:
    root = Path(__file__).resolve().parent
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def git_revision() -> str:
    """Short commit id with -clean, or -dirty where a file was changed or is not in it; "unknown" outside a checkout."""
    try:
        sha = _git("rev-parse", "--short", "HEAD")
        own = _git("status", "--porcelain", "--untracked-files=normal")
        return f"{sha}-{'dirty' if own else 'clean'}" if sha else "unknown"
    except FileNotFoundError:
        return "unknown"


def cpu_name() -> str:
    """Model name of the processor, as the kernel reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory_mib() -> float:
    """The most memory that this process has held so far, in MiB; GPU memory is not in it."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (2**20 if sys.platform == "darwin" else 2**10)


def describe() -> Dict[str, Any]:
    """Everything env.json holds: versions, git revision, processor, threads and the command line."""
    return {
        "versions": installed_versions(),
        "git": git_revision(),
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
