"""What is known of the environment that tools/setup_env.sh will choose, before it is made."""

import platform
from pathlib import Path
from typing import Optional

ENVIRONMENTS = ("k2", "portable", "auto")


_GIGABYTES = {"k2": 4.4, "portable": 2.0}  # what it takes at least, torch for the CPU


def needed_gigabytes(root: Path, env: str) -> float:
    """Room that the installation of environment `env` takes at least, in 10^9 bytes; 0 if it is there."""
    names = [env] if env in _GIGABYTES else list(_GIGABYTES)
    there = any((root / ".venv" / name / ".complete").is_file() for name in names)
    return 0.0 if there else min(_GIGABYTES[name] for name in names)


def python_of(root: Path, env: str) -> str:
    """Which Python stages run with, in words."""
    venvs = root / ".venv"
    if env != "auto":
        python = venvs / env / "bin" / "python"
        return f"{python}{'' if python.exists() else ' (made first)'}"
    return f"the Python of {venvs / 'k2'} where a Python 3.10 is found on Linux, else of {venvs / 'portable'}"


def has_k2(root: Path, env: str) -> Optional[bool]:
    """Whether environment `env` (one of ENVIRONMENTS) has k2; None if that is not known before it is made."""
    if env == "k2":
        return True
    if env == "portable" or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        # It may have been installed there by hand.
        return any((root / ".venv" / "portable").glob("lib/python*/site-packages/k2/__init__.py"))
    return None
