"""Corpora in a distribution's packages: fetched by apt-get without root, read as data, nothing installed or run.

A package (.deb) is an `ar` archive of two tar archives: control, with the checksums of all files, and data. What is
compressed with xz, gzip or not at all is read by Python; zstd, which Ubuntu uses, needs dpkg-deb.
"""

import hashlib
import io
import logging
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from icefall_discrete.data.checked_folders import CHECKSUMS, Member, parse_checksums
from icefall_discrete.data.manifests import CorpusError

LOG = logging.getLogger(__name__)
TIMEOUT_SEC = 30
MOST_BYTES = 2**24  # of a file; a prompt of a minute has half a million
_MOST_OF_A_NAME = 2**16  # bytes of a record that holds a long name, or what else is said of a file
_MAGIC, _HEADER_BYTES, _HEADER_END = b"!<arch>\n", 60, b"`\n"
_Order = List[Tuple[List[int], int]]  # of a part of a version: letters and number, in turn
_RECORDS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, *(b"x", b"g", b"X"))  # GNU's, and those of POSIX
_OPTIONS = {"control": "--ctrl-tarfile", "data": "--fsys-tarfile"}


def _run(command: Sequence[str], cwd: Path) -> None:
    """Run a command quietly; its last words become the error."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise CorpusError(f"{' '.join(command[:1])} {command[-1]}: {lines[-1].removeprefix('E: ')}")


def _apt_get(packages: Sequence[str], folder: Path, lists: Path) -> None:
    """Fetch packages to `folder`, with package lists of our own in `lists` where the system's do not have them."""
    patience = ["-o", f"Acquire::http::Timeout={TIMEOUT_SEC}", "-o", "Acquire::Retries=1"]
    try:
        _run(["apt-get", *patience, "download", *packages], folder)
        return
    except CorpusError as error:
        LOG.info(f"{error}; trying again with fresh package lists in {lists}")
    (lists / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (lists / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    ours = [*patience, "-o", f"Dir::State::Lists={lists}/lists/", "-o", f"Dir::Cache={lists}/cache/"]
    _run(["apt-get", *ours, "update"], folder)
    _run(["apt-get", *ours, "download", *packages], folder)


def _apt_download(packages: Sequence[str], folder: Path) -> None:
    """Put the packages' .deb files into `folder`, each whole or not at all."""
    incoming = folder / ".incoming.partial"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    try:
        _apt_get(packages, incoming, folder.resolve() / "apt")
        for deb in incoming.glob("*.deb"):
            deb.replace(folder / deb.name)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _version(deb: Path) -> Tuple[_Order, _Order]:
    """The version in a file's name, ordered as Debian's policy says (5.6.12): 10 after 9, ~ before the end."""
    _, _, said = deb.stem.partition("_")
    upstream, dash, revision = (said.rpartition("_")[0] or said).rpartition("-")
    return (_order(upstream), _order(revision)) if dash else (_order(revision), _order(""))


def _order(text: str) -> _Order:
    parts = re.findall(r"(\D*)(\d*)", text)
    return [([*map(_rank, letters), 0], int(digits or 0)) for letters, digits in parts]


def _rank(letter: str) -> int:
    """Of a letter that is no digit; 0 is that of the end."""
    return -1 if letter == "~" else ord(letter) + (0 if letter.isalpha() else 1 << 21)


def find_packages(packages: Sequence[str], folder: Path) -> List[Path]:
    """The newest .deb file of each package in `folder`; those that are not there are fetched into it by apt-get.

    Raises:
      CorpusError: if one is not there and apt-get cannot deliver it, with the reason.
    """

    def lying() -> Dict[str, Path]:
        found = {package: sorted(folder.glob(f"{package}_*.deb"), key=_version) for package in packages}
        return {package: paths[-1] for package, paths in found.items() if paths}

    missing = [package for package in packages if package not in lying()]
    if missing:
        if shutil.which("apt-get") is None:
            raise CorpusError("there is no apt-get on this machine")
        _apt_download(missing, folder)
    debs = lying()
    for package in packages:
        if package not in debs:
            raise CorpusError(f"apt-get download {package}: it left no {package}_*.deb in {folder}")
    return [debs[package] for package in packages]


class _Header(tarfile.TarInfo):
    """A header whose records of names are bounded before they are read: they are held in memory, whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:  # what tarfile documents to be overridden
        if self.type in _RECORDS and self.size > _MOST_OF_A_NAME:
            raise CorpusError(f"the archive has a record of {self.size} bytes for the name of a file")
        return super()._proc_member(archive)  # type: ignore[misc]


def tar_members(stream: io.BufferedIOBase) -> Iterator[Member]:
    """Yield path and content of every file of a tar archive, compressed or not, without what begins as `./`.

    Raises:
      CorpusError: for a file of more than `MOST_BYTES`, or a name that is far too long.
      TarError, and others of the libraries: if it is damaged.
    """
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Header) as archive:
        for member in archive:
            if not member.isfile():
                continue
            if member.size > MOST_BYTES:
                raise CorpusError(f"{member.name!r} in the archive has {member.size} bytes, more than any prompt")
            content = archive.extractfile(member)
            assert content is not None  # as it is for links, which are none of these
            yield member.name.removeprefix("./"), content.read()


def _archives_in(deb: Path) -> Dict[str, bytes]:
    """Name -> content of the members of an `ar` archive. Raises ValueError if it is none, or cut short."""
    members: Dict[str, bytes] = {}
    with open(deb, "rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin as an archive")
        while True:
            header = stream.read(_HEADER_BYTES)
            if not header:
                return members
            size = header[48:58].strip()
            if header[58:] != _HEADER_END or not size.isdigit():
                raise ValueError("it is damaged or cut short")
            if int(size) > deb.stat().st_size:
                raise ValueError("it is cut short")
            name = header[:16].decode("ascii", errors="replace").strip().rstrip("/")
            members[name] = stream.read(int(size) + int(size) % 2)[: int(size)]
            if len(members[name]) != int(size):
                raise ValueError("it is cut short")


def _tar_of(deb: Path, part: str, archives: Dict[str, bytes]) -> io.BytesIO:
    """The tar archive of a part of a package, "control" or "data"."""
    name = next((name for name in archives if name.split(".")[0] == part), None)
    if name is None:
        raise ValueError(f"it has no {part} archive")
    if not name.endswith(".zst"):
        return io.BytesIO(archives[name])
    if shutil.which("dpkg-deb") is None:
        raise ValueError("its content is compressed with zstd, which needs dpkg-deb; fetch Debian's package, in xz")
    done = subprocess.run(["dpkg-deb", _OPTIONS[part], str(deb)], capture_output=True)
    if done.returncode != 0:
        raise ValueError("dpkg-deb cannot read it")
    return io.BytesIO(done.stdout)


def package_members(deb: Path) -> Iterator[Member]:
    """Yield path and content of every file of a package, each checked against the checksums that the package carries.

    Raises:
      CorpusError: for a file that is no whole package, or whose content differs from its checksum.
    """
    try:
        archives = _archives_in(deb)
        control, data = (_tar_of(deb, part, archives) for part in _OPTIONS)
    except ValueError as error:
        raise CorpusError(f"{deb} is not a whole package ({error}); move it aside and run stage 0 again.") from None
    listing = dict(tar_members(control)).get(CHECKSUMS)
    if listing is None:
        raise CorpusError(f"{deb} has no {CHECKSUMS}, which its files are held against; move it aside and rerun.")
    expected = parse_checksums(listing.decode("utf-8"))
    for path, content in tar_members(data):
        actual = hashlib.md5(content).hexdigest()
        if expected.get(path) != actual:
            stated = f"not {expected[path]}" if path in expected else f"and is not in the package's {CHECKSUMS}"
            raise CorpusError(f"{deb}: {path} has MD5 {actual}, {stated}; move it aside and rerun.")
        yield path, content
