"""Files that are whole or absent: written to a temporary name beside the target, synced, then renamed.

A writer holds a lock on its temporary file, which the operating system lets go of when the process ends, however it
ends. So what killed writers left can be told from what another process is writing now, and is removed.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Iterator, Set, Union

PathLike = Union[str, Path]
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.partial\..+")
_HELD = (errno.EACCES, errno.EAGAIN)
_seen_folders: Set[Path] = set()


def cannot_write(path: PathLike, error: OSError) -> OSError:
    """`error` with a sentence: which file could not be written, why, how much space there is, what to do."""
    why = error.strerror or str(error)
    if error.errno == errno.ENAMETOOLONG:
        return OSError(error.errno, f"could not write {path}: the name is too long for a file; give a shorter one.")
    in_the_way = next((folder for folder in Path(path).parents if folder.is_file()), None)
    if in_the_way is not None:
        return OSError(error.errno, f"could not write {path}: {in_the_way} is a file, no folder; give another place.")
    if error.errno not in NO_SPACE:
        return OSError(error.errno, f"could not write {path}: {why}; make it writable, or choose another place.")
    there = Path(path).absolute().parent
    while not there.is_dir():
        there = there.parent
    free = shutil.disk_usage(there).free / 2**20
    return OSError(
        error.errno,
        f"could not write {path}: {why} ({free:.1f} MiB are free in {there}); nothing that was finished is lost: free "
        "space, then rerun the same command.",
    )


def require_folder_place(path: Path, flag: str) -> None:
    """Raise ValueError, naming the flag, if a file is where the folder `path`, or one above it, is to be."""
    in_the_way = next((one for one in (path, *path.parents) if one.exists() and not one.is_dir()), None)
    if in_the_way is not None:
        raise ValueError(f"{flag} {path}: {in_the_way} is a file, expected a folder; give another name.")


def _is_told(error: OSError) -> bool:
    """Whether an error says which file could not be written; a copy to a full disk names the one that is read."""
    if error.errno is None or "could not write" in str(error):
        return True
    return error.filename is not None and error.errno not in NO_SPACE


@contextlib.contextmanager
def naming(path: PathLike) -> Iterator[None]:
    """Let errors of writing that name no file, as those of a full disk, name `path`."""
    try:
        yield
    except OSError as error:
        if _is_told(error):
            raise
        raise cannot_write(path, error) from error


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of writers that were killed; once in each folder, as it may be a large one."""
    if folder in _seen_folders:
        return
    _seen_folders.add(folder)
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]
    for name in names:
        # Another process may finish or remove it meanwhile; a file system without locks tells of none.
        with contextlib.suppress(OSError), open(folder / name, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(folder / name)


def _begun(target: Path) -> "tuple[Path, int]":
    """A new temporary file beside `target`, and a descriptor that holds its lock."""
    while True:
        # Not the process id, which another machine with the same file system may be using too.
        temporary = target.with_name(f".{secrets.token_hex(4)}.partial.{target.name}")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # taken for an abandoned one before it was locked


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success sync it and rename it to `path`, else remove it.

    The temporary name keeps the suffixes of `path` (so that `.jsonl.gz` is still compressed by its writer).
    Raises OSError (for example a full disk), naming `path`; an older `path` is then left untouched.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent)
        temporary, descriptor = _begun(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.errno not in NO_SPACE and error.filename not in (None, str(temporary), temporary):
            raise  # it is about another file, which was to be read for this one
        raise cannot_write(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        os.close(descriptor)


def write_text(path: PathLike, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: PathLike, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def copy_file(source: PathLike, path: PathLike) -> None:
    """Copy a file to `path`, whole or not at all."""
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


def require_new_folder(path: PathLike) -> None:
    """Raise ValueError if `path` is there and is no empty folder."""
    if Path(path).exists() and (not Path(path).is_dir() or any(Path(path).iterdir())):
        raise ValueError(f"{path} exists and is not empty; give a folder that is new.")


def _folder_to_fill(target: Path) -> "tuple[Path, int]":
    """An empty folder beside `target`, and a descriptor that holds its lock.

    Raises RuntimeError if another process fills it.
    """
    unfinished = target.with_name(f".{target.name}.partial")
    while True:
        unfinished.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                os.close(descriptor)
                raise RuntimeError(
                    f"another process is making {target}; wait for it, end it, or give another folder."
                ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(unfinished)):
                break
        os.close(descriptor)  # its holder has just finished, or given up
    for left in unfinished.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    return unfinished, descriptor


@contextlib.contextmanager
def new_folder(path: PathLike) -> Iterator[Path]:
    """Yield a folder beside `path` to fill; on success it is renamed to `path`, else nothing of it is left.

    What a killed writer left is begun anew. Raises as `require_new_folder`, and RuntimeError if another process is
    making the same folder now, of which nothing is touched.
    """
    target = Path(path)
    require_new_folder(target)
    try:
        unfinished, descriptor = _folder_to_fill(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    is_whole = False
    try:
        yield unfinished
        if target.exists():
            target.rmdir()
        unfinished.rename(target)
        is_whole = True
    except OSError as error:
        if _is_told(error):
            raise
        raise cannot_write(target, error) from error
    finally:
        if not is_whole:
            shutil.rmtree(unfinished, ignore_errors=True)
        os.close(descriptor)
