"""What is known of the environment that tools/setup_env.sh will choose, before it is made."""

import platform
from pathlib import Path
from typing import Optional

ENVIRONMENTS = ("k2", "portable", "auto")


def has_k2(root: Path, env: str) -> Optional[bool]:
    """Whether environment `env` (one of ENVIRONMENTS) has k2; None if that is not known before it is made."""
    if env == "k2":
        return True
    if env == "portable" or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        # It may have been installed there by hand.
        return any((root / ".venv" / "portable").glob("lib/python*/site-packages/k2/__init__.py"))
    return None
