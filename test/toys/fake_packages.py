"""Packages of a distribution, and archives, made in a test; and an apt-get of which it is known what it does."""

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Mapping, Optional


def tar_of(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar archive of some files, as `tarfile.open` compresses it in this mode."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _ar_of(files: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in files.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def write_deb(path: Path, files: Mapping[str, bytes], checksums: Optional[str] = None, kind: str = "xz") -> Path:
    """Write a package as dpkg-deb does; `checksums`: the text of its md5sums, by default the right one."""
    if checksums is None:
        checksums = "".join(f"{hashlib.md5(content).hexdigest()}  {name}\n" for name, content in files.items())
    suffix = f".{kind}" if kind else ""
    control = tar_of({"./control": b"Package: x\n", "./md5sums": checksums.encode()}, f"w:{kind}")
    data = tar_of({f"./{name}": content for name, content in files.items()}, f"w:{kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_ar_of({"debian-binary": b"2.0\n", f"control.tar{suffix}": control, f"data.tar{suffix}": data}))
    return path


def put_program(folder: Path, name: str, script: str, monkeypatch) -> None:
    """Let a shell script be found as the program `name` before any other."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
