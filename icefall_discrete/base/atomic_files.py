"""Files that are whole or absent: written to a temporary name beside the target, synced, then renamed."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Iterator, Union

PathLike = Union[str, Path]


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success sync it and rename it to `path`, else remove it.

    The temporary name keeps the suffixes of `path` (so that `.jsonl.gz` is still compressed by its writer).
    Raises OSError (for example a full disk), naming `path`; an older `path` is then left untouched.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not the process id, which another machine with the same file system may be using too.
    temporary = target.with_name(f".{secrets.token_hex(4)}.partial.{target.name}")
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        message = f"could not write {target}: {error.strerror}; free space or fix it, then rerun."
        raise OSError(error.errno, message) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: PathLike, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
