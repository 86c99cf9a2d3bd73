"""Which sources of audio are data: a file, or bytes in memory; never a command, and nothing to fetch."""

import os
import re
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:  # who reads files without lhotse asks here too
    from lhotse import Recording
    from lhotse.audio import AudioSource

# lhotse hands the names of these files to a shell, for the program that decodes them.
SHELL_SUFFIX = ".sph"
_SHOWN = 120
# What a page of the web begins with that was saved under the name of the audio that it does not give.
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)


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


def why_no_audio(path: Path) -> Optional[str]:
    """Why a file cannot hold audio, seen from outside: it is not there, empty, or a page of the web; None if it may."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return "it is not a file"
        with open(path, "rb") as stream:
            head = stream.read(64)
    except FileNotFoundError:
        return "the file does not exist"
    except (OSError, ValueError) as error:
        return f"it cannot be opened ({getattr(error, 'strerror', None) or error})"
    if status.st_size == 0:
        return "the file is empty (0 bytes)"
    return "it is a page of the web, not audio: fetch it again" if _WEB_PAGE.match(head) else None


def _refusal_of_file(source: "AudioSource") -> str:
    refused = refusal(source.type, source.source)
    if refused or source.type != "file":
        return refused
    # Asked here, as some libraries take what is no file for an address.
    return why_no_audio(Path(source.source)) or ""


def refusal_of(recording: Optional["Recording"]) -> str:
    """Why a recording's audio is not read, as in `refusal`, or since a file is not there; empty if it may be."""
    if recording is None:
        return "it has no recording"
    return next((reason for reason in map(_refusal_of_file, recording.sources) if reason), "")
