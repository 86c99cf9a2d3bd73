"""Names that come from a file, as paths: below a folder, or not at all."""

from pathlib import Path, PurePosixPath

_MOST_BYTES = 255  # of one part of a path, on the file systems that there are
_BEFORE = 18  # of these a file's name has before it while it is written (atomic_files.py)
_SHOWN = 120


def what_is_wrong(name: str) -> str:
    """Why `name` is no path of a file below a folder, a part of a sentence; empty if it is one."""
    parts = PurePosixPath(name).parts
    if not parts or name.endswith("/"):
        return "it names no file"
    if parts[0].startswith("/") or ".." in parts:
        return "it leaves its folder"
    if not all(letter.isprintable() or letter == "\u3000" for letter in name):
        return "it has characters that cannot be seen"
    lengths = [len(part.encode("utf-8", "surrogatepass")) for part in parts]
    if max(*lengths, lengths[-1] + _BEFORE) > _MOST_BYTES:
        return (
            f"it is longer than the {_MOST_BYTES} bytes of a file name, {_BEFORE} of which are used while it is written"
        )
    return ""


def path_inside(folder: Path, name: str, what: str, suffix: str = "") -> Path:
    """`folder`/`name`, followed by a `suffix`. Raises ValueError if that is not below the folder; it names `what`."""
    wrong = what_is_wrong(name + suffix)
    if wrong:
        raise ValueError(f"{what} is {name[:_SHOWN]!r}, which cannot be a path below {folder}: {wrong}.")
    return folder / (name + suffix)
