"""Options that name folders to write to."""

import os
from pathlib import Path


def require_folder(option: str, name: str) -> None:
    """Raise ValueError unless `name`, the value of --`option`, is a folder or can be made one."""
    there = Path(name)
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"--{option} {name} cannot be a folder: {there} is there already and is none; choose another")
    if there != Path(name) and not os.access(there, os.W_OK):
        raise ValueError(
            f"--{option} {name} does not exist and cannot be made: {there} may not be written to; choose another"
        )
