"""Options that name folders to write to."""

import os
import tempfile
from pathlib import Path


def existing_part(path: Path) -> Path:
    """The path, or the folder nearest to it that exists."""
    while not os.path.lexists(path):
        path = path.parent
    return path


def require_folder(option: str, name: str) -> None:
    """Raise ValueError unless `name`, the value of --`option`, is a folder or can be made one."""
    there = existing_part(Path(name))
    if not there.is_dir():
        raise ValueError(f"--{option} {name} cannot be a folder: {there} is there already and is none; choose another")
    if there != Path(name):
        why = why_unwritable(there)
        if why:
            raise ValueError(
                f"--{option} {name} does not exist and cannot be made: {there} cannot be written to ({why}); choose "
                "another"
            )


def why_unwritable(folder: Path) -> str:
    """Why no file can be made in a folder that exists; empty if one can; it is tried."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__
