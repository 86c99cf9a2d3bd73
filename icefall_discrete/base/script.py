"""What every stage's script shares: log lines with the time, and one sentence, no traceback, for a user's mistake."""

import errno
import logging
import os
import select
import sys
from typing import Callable

from icefall_discrete.base.atomic_files import NO_SPACE

TRACEBACK_VARIABLE = "ICEFALL_DISCRETE_TRACEBACK"
_CLOSED_PIPE = 141  # as of a program that SIGPIPE ends
# A file is where a folder is to be; or nobody can write there.
_NO_PLACE = (errno.ENOTDIR, errno.EEXIST, errno.EROFS)
EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ImportError, MemoryError)


def one_sentence(error: BaseException) -> str:
    """The message of `error` on one line; an OSError's number is left out, its file is kept."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in NO_SPACE and error.strerror == os.strerror(error.errno):
        text = f"{text}; free space, then rerun the same command to go on."
    if isinstance(error, MemoryError):
        text = f"memory is used up{f' ({text})' if text else ''}; choose smaller batches, or shorter audio."
    if isinstance(error, OSError) and error.errno in _NO_PLACE and error.strerror == os.strerror(error.errno):
        text = f"{text}; choose another place."
    if isinstance(error, OSError) and error.errno == errno.EISDIR and error.strerror == os.strerror(error.errno):
        folder = error.filename2 or error.filename or "what was given"  # the second is where the first was to go
        text = f"{folder}: this is a folder, expected a file; give another name."
    return " ".join(text.split()) or type(error).__name__


def set_up_logging() -> None:
    """Send log lines with time and level to standard error."""
    logging.raiseExceptions = False  # no tracebacks where a log file cannot be written
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        stream=sys.stderr,
        force=True,
    )


def run_script(main: Callable[[], None]) -> None:
    """Run a stage's `main`; an expected error ends the process with status 1 and one line `error: ...`.

    Set ICEFALL_DISCRETE_TRACEBACK=1 to see the traceback as well. Errors that are ours (KeyError, AssertionError, ...)
    keep their traceback. Ctrl-C ends with status 130, a closed pipe, as of `| head`, quietly with 141.
    """
    set_up_logging()
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        if _reader_is_gone():
            sys.exit(_CLOSED_PIPE)
        _tell(error)
        sys.exit(1)
    except KeyboardInterrupt:
        print("error: interrupted; rerun the same command to continue.", file=sys.stderr)
        sys.exit(130)
    except EXPECTED_ERRORS as error:
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            raise
        _tell(error)
        sys.exit(1)


def _tell(error: BaseException) -> None:
    print(f"error: {one_sentence(error)}", file=sys.stderr)


def _reader_is_gone() -> bool:
    """Whether nobody reads what is printed any more, as after `| head`; then what is left to print goes nowhere."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    is_gone = bool(poll.poll(0))
    if is_gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return is_gone
