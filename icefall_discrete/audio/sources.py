"""Which sources of audio are data: a file, or bytes in memory; never a command, and nothing to fetch."""

import os
import shlex
import stat
from typing import Optional

from lhotse import Recording
from lhotse.audio import AudioSource

# lhotse hands the names of these files to a shell, for the program that decodes them.
SHELL_SUFFIX = ".sph"
_SHOWN = 120


def refusal(kind: object, source: object) -> str:
    """Why the audio `source` of a manifest, of type `kind`, is not read: a part of a sentence; empty if it may be.

    Whether a file exists is not asked.
    """
    if kind not in ("file", "memory"):
        does = {"command": "would run a command", "url": "would be fetched", "shar": "is to be found elsewhere"}
        what = does.get(str(kind), "is unknown")
        return f"its audio source of type {kind!r} {what} ({str(source)[:_SHOWN]!r}), expected a file"
    name = str(source)
    if kind == "file" and name.lower().endswith(SHELL_SUFFIX) and (shlex.quote(name) != name or name.startswith("-")):
        return f"the name of {name[:_SHOWN]!r} has characters that a shell takes for commands; rename it"
    return ""


def _refusal_of_file(source: AudioSource) -> str:
    refused = refusal(source.type, source.source)
    if refused or source.type != "file":
        return refused
    # Asked here, as some libraries take what is no file for an address.
    try:
        return "" if stat.S_ISREG(os.stat(source.source).st_mode) else "it is not a file"
    except FileNotFoundError:
        return "the file does not exist"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)


def refusal_of(recording: Optional[Recording]) -> str:
    """Why a recording's audio is not read, as in `refusal`, or since a file is not there; empty if it may be."""
    if recording is None:
        return "it has no recording"
    return next((reason for reason in map(_refusal_of_file, recording.sources) if reason), "")
