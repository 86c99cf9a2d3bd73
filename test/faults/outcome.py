"""What a working folder holds, without what differs from run to run: times, places, logs."""

import contextlib
import gzip
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any, Dict, List

import torch

from icefall_discrete.base.checkpoint import load_checkpoint

NOT_COMPARED = re.compile(r"(^|/)(log|tensorboard)/|(^|/)\.at-work|audio\.gz$|cuts/checksums\.json$|\.pyc$")
SET_ASIDE = re.compile(r"\.before-\d{4}-")
# What was measured, when and where.
MEASURED = re.compile(
    r".*(_sec|rtf|_per_sec|_per_epoch|minutes|command|commands|environment|versions|cpu|cpu_count|git|memory_mib|wall|"
    r"device_name|run|date|time|made_with)$|.*_mib$|num_threads|feature_dir|params_sec"
)
MEASURED_LINE = re.compile(r"of real time|real-time|RTF|^#!|process \d+")


def _told(value: Any) -> Any:
    """A value of a file, so that equal contents are equal texts."""
    if isinstance(value, dict):
        return {str(key): _told(one) for key, one in value.items() if not MEASURED.fullmatch(str(key))}
    if isinstance(value, (list, tuple)):
        return [_told(one) for one in value]
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
    return value


def content_of(path: Path) -> str:
    """What a file says, as a short text."""
    suffix = Path(SET_ASIDE.split(path.name)[0]).suffix
    try:
        if suffix == ".json":
            return json.dumps(_told(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
        if suffix == ".pt" and "LG" not in path.name:
            return json.dumps(_told(load_checkpoint(path)), sort_keys=True)
    except (ValueError, KeyError, TypeError):
        pass  # then by its bytes
    if suffix in (".md", ".txt", ".html"):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(line for line in lines if not MEASURED_LINE.search(line))
    content = path.read_bytes()
    if suffix == ".gz":
        with contextlib.suppress(OSError, EOFError, zlib.error):
            content = gzip.decompress(content)  # without the time that its header may hold
    return hashlib.sha256(content).hexdigest()


def holdings(work: Path, with_set_aside: bool = True) -> Dict[str, str]:
    """What each file in the folder says, by its relative path."""
    found = {}
    for path in sorted(work.rglob("*")):
        name = path.relative_to(work).as_posix()
        if path.is_file() and not NOT_COMPARED.search(name) and (with_set_aside or not SET_ASIDE.search(name)):
            found[name] = content_of(path)
    return found


def differing(there: Dict[str, str], expected: Dict[str, str]) -> List[str]:
    """Names of files that are missing, should not be there, or say something else."""
    lost = [f"{name} is missing" for name in sorted(set(expected) - set(there))]
    more = [f"{name} should not be there" for name in sorted(set(there) - set(expected))]
    other = [f"{name} differs" for name in sorted(set(there) & set(expected)) if there[name] != expected[name]]
    return [*lost, *more, *other]


def changed(content: bytes, is_compressed: bool, generator: Any) -> bytes:
    """Something of a file changed: a bit, a byte, a line, the order of lines, or its length."""
    how = generator.choice(("bit", "byte", "line", "order", "cut"))
    inner = gzip.decompress(content) if is_compressed and how in ("line", "order") else content
    lines = inner.splitlines(keepends=True)
    if how in ("line", "order") and len(lines) > 1:
        one, other = generator.sample(range(len(lines)), 2)
        if how == "line":
            del lines[one]
        else:
            lines[one], lines[other] = lines[other], lines[one]
        inner = b"".join(lines)
        return gzip.compress(inner, mtime=0) if is_compressed else inner
    if not content:
        return b"x"
    place = generator.randrange(len(content))
    if how == "cut":
        return content[:place]
    value = content[place] ^ (1 << generator.randrange(8)) if how == "bit" else (content[place] + 101) % 256
    return content[:place] + bytes([value]) + content[place + 1 :]
