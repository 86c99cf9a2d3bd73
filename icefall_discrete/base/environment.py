"""What made a result: versions, commit, machine and command line, for env.json."""

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from icefall_discrete import __version__

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
PROJECT = "icefall_discrete"  # among versions
UNKNOWN = "unknown"  # in place of a commit, outside a checkout
CLEAN = "-clean"  # ends the name of a commit that holds all that was run
DIRTY = "-dirty"  # ends the name of a commit that does not hold all that was run
# What no figure depends on: pages, and results of other runs, which may be committed while runs go on.
_NOT_CODE = ("**/*.md", "docs/**", "egs/*/*/results/**")


def installed_versions() -> Dict[str, str]:
    """Versions of the packages that can change a result; an absent package is left out."""
    versions = {"python": platform.python_version(), PROJECT: __version__}
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
    """Short commit id with -clean, or -dirty where a file was changed or is not in it; "unknown" outside a checkout.

    Pages and results may differ from the commit.
    """
    try:
        sha = _git("rev-parse", "--short", "HEAD")
        but = [f":(top,exclude,glob){path}" for path in _NOT_CODE]
        own = _git("status", "--porcelain", "--untracked-files=all", "--", ":(top)", *but)
        return f"{sha}{DIRTY if own else CLEAN}" if sha else UNKNOWN
    except FileNotFoundError:
        return UNKNOWN


def is_since(revision: str, earlier: str) -> bool:
    """Whether a `git_revision` holds all of a commit; not, if this clone does not know it.

    Raises:
      ValueError: if `earlier` is no commit of this clone.
    """
    if not _git("rev-parse", "--verify", "--quiet", f"{earlier}^{{commit}}"):
        raise ValueError(f"'{earlier}' is no commit of this clone; give one that git log lists.")
    sha = _git("rev-parse", "--verify", "--quiet", f"{revision.partition('-')[0]}^{{commit}}")
    return bool(sha) and _git("merge-base", sha, earlier) == _git("rev-parse", f"{earlier}^{{commit}}")


def _holds(commit: str) -> bool:
    """Whether this checkout holds all of a commit."""
    sha = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    return bool(sha) and _git("merge-base", sha, "HEAD") == sha


def newer_than_this(described: Mapping[str, Any]) -> Optional[str]:
    """The version or the commit that made something, by what `describe` gave, if it is newer than this program.

    A commit that this checkout does not hold is taken for newer. None: it is not newer, or that cannot be known.
    """
    versions = described.get("versions")
    version = versions.get(PROJECT) if isinstance(versions, Mapping) else None
    if isinstance(version, str) and _numbers(version) > _numbers(__version__):
        return f"version {version}"
    if git_revision() == UNKNOWN:
        return None
    shas = (str(commit).partition("-")[0] for commit in commits_in(described))
    other = next((sha for sha in shas if re.fullmatch("[0-9a-f]{7,40}", sha) and not _holds(sha)), None)
    return None if other is None else f"commit {other}"


def _numbers(version: str) -> List[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def commits_in(described: Mapping[str, Any]) -> List[str]:
    """The commits of what `describe` gave, each once: of every run that had a part in it; `UNKNOWN` if it has none."""
    return list(dict.fromkeys(described.get("commits") or [described.get("git") or UNKNOWN]))


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
