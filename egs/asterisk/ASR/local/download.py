#!/usr/bin/env python3
"""Stage 0: fetch the Asterisk core sounds (prompts and transcripts), verified, once.

The files come from the distribution's packages by `apt-get download` (no root needed), else from upstream's
release archives. Whole languages are left alone; a damaged or half-fetched one is fetched again.
"""

import dataclasses
import gzip
import hashlib
import io
import logging
import lzma
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from asterisk_text import LANGUAGES
from corpus_folder import CHECKSUMS, CorpusError, damaged_files, parse_checksums, transcript_path

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting

RELEASE = "1.6.1"
TIMEOUT_SEC = 30
# Of a file, of which a prompt of a minute has half a million, and of a language, which has some ten million.
MOST_BYTES, MOST_BYTES_OF_ALL = 2**24, 2**30


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """What to fetch and where to put it."""

    dl_dir: str = setting("download", "folder for downloaded files; the corpus goes to its subfolder asterisk")
    languages: Tuple[str, ...] = setting(LANGUAGES, "languages to fetch")
    mirror_url: str = setting(
        "https://downloads.asterisk.org/pub/telephony/sounds/releases",
        "where the release archives lie, used where apt-get cannot deliver",
    )


Member = Tuple[str, bytes]


def _run(command: Sequence[str], cwd: Path) -> None:
    """Run a command quietly; its last words become the error."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise CorpusError(f"{' '.join(command[:1])} {command[-1]}: {lines[-1].removeprefix('E: ')}")


def _apt_download(packages: Sequence[str], folder: Path) -> None:
    """Put the packages' .deb files into `folder`, with package lists of our own where the system's do not have them."""
    folder.mkdir(parents=True, exist_ok=True)
    patience = ["-o", f"Acquire::http::Timeout={TIMEOUT_SEC}", "-o", "Acquire::Retries=1"]
    try:
        _run(["apt-get", *patience, "download", *packages], folder)
        return
    except CorpusError as error:
        logging.info(f"{error}; trying again with fresh package lists in {folder}/apt")
    private = folder.resolve() / "apt"
    (private / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (private / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    ours = [*patience, "-o", f"Dir::State::Lists={private}/lists/", "-o", f"Dir::Cache={private}/cache/"]
    _run(["apt-get", *ours, "update"], folder)
    _run(["apt-get", *ours, "download", *packages], folder)


def _tar_members(stream: io.BufferedIOBase) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for member in archive:
            if member.isfile() and member.size > MOST_BYTES:
                raise CorpusError(f"{member.name!r} in the archive has {member.size} bytes, more than any prompt")
            if member.isfile():
                yield member.name.removeprefix("./"), archive.extractfile(member).read()


def _deb_members(deb: Path) -> Iterator[Member]:
    """Yield path and content of every file of a .deb, each checked against the checksums that the package carries."""

    def part(option: str) -> io.BytesIO:
        done = subprocess.run(["dpkg-deb", option, str(deb)], capture_output=True)
        if done.returncode != 0:
            raise CorpusError(f"{deb} is not a whole package; move it aside and run stage 0 again.")
        return io.BytesIO(done.stdout)

    control: Dict[str, bytes] = dict(_tar_members(part("--ctrl-tarfile")))
    expected = parse_checksums(control["md5sums"].decode("utf-8"))
    for path, content in _tar_members(part("--fsys-tarfile")):
        actual = hashlib.md5(content).hexdigest()
        if expected.get(path, actual) != actual:
            raise CorpusError(f"{deb}: {path} has MD5 {actual}, not {expected[path]}; move it aside and rerun.")
        yield path, content


def _from_apt(language: str, folder: Path) -> Iterator[Member]:
    """Yield the files of a language in the corpus folder's layout, from the distribution's packages."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise CorpusError("there is no apt-get on this machine")
    packages = [f"asterisk-core-sounds-{language}-g722", f"asterisk-core-sounds-{language}"]
    debs = [next(folder.glob(f"{package}_*.deb"), None) for package in packages]
    if None in debs:
        _apt_download(packages, folder)
        debs = [next(folder.glob(f"{package}_*.deb")) for package in packages]
    for deb in debs:
        for path, content in _deb_members(deb):
            if path.endswith(".g722"):
                prompt = path.split("/sounds/", 1)[1].split("/", 1)[1]  # the first folder is the voice
                yield f"sounds/{prompt}", content
            elif path.endswith(f"core-sounds-{language}.txt.gz"):
                with gzip.open(io.BytesIO(content)) as text:
                    yield f"core-sounds-{language}.txt", text.read(MOST_BYTES)


def _http_download(url: str, target: Path) -> None:
    """Fetch `url` to `target`, continuing a partial file where the server can."""
    partial = target.with_name(target.name + ".partial")
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SEC) as response:
            continues = response.status == 206
            with open(partial, "ab" if continues else "wb") as stream:
                shutil.copyfileobj(response, stream, 1 << 20)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to fetch
            raise CorpusError(f"{url}: {error}") from None
    except OSError as error:
        raise CorpusError(f"{url}: {getattr(error, 'reason', error)}") from None
    partial.replace(target)


def _from_upstream(language: str, folder: Path, mirror_url: str) -> Iterator[Member]:
    """Yield the files of a language in the corpus folder's layout, from upstream's release archive."""
    name = f"asterisk-core-sounds-{language}-g722-{RELEASE}.tar.gz"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / name
    if not archive.exists():
        _http_download(f"{mirror_url}/{name}", archive)
    _http_download(f"{mirror_url}/{name}.sha1", folder / f"{name}.sha1")
    expected = (folder / f"{name}.sha1").read_text(errors="replace")[:40]
    actual = hashlib.sha1(archive.read_bytes()).hexdigest()
    if actual != expected:
        archive.unlink()
        raise CorpusError(f"{mirror_url}/{name} has SHA-1 {actual}, {name}.sha1 says {expected}; run stage 0 again.")
    with open(archive, "rb") as stream:
        for path, content in _tar_members(stream):
            if path.endswith(".g722"):
                yield f"sounds/{path}", content
            elif path.endswith(f"core-sounds-{language}.txt"):
                yield f"core-sounds-{language}.txt", content


def _whole(members: Iterator[Member], folder: Path) -> Iterator[Member]:
    """The members, each below `folder` and all bounded; CorpusError for an archive that is damaged or another one."""
    left = MOST_BYTES_OF_ALL
    try:
        for path, content in members:
            left -= len(content)
            if left < 0:
                raise ValueError(f"it unpacks to more than {MOST_BYTES_OF_ALL} bytes")
            path_inside(folder, path, "the name of a file")
            yield path, content
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, EOFError, LookupError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise CorpusError(f"the archive that was fetched is damaged, or another one: {reason}") from None


def _write_language(members: Iterator[Member], target: Path) -> int:
    """Write a language's files and, last, their checksums; return the number of prompts."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    checksums: List[str] = []
    for path, content in _whole(members, partial):
        file = partial / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        checksums.append(f"{hashlib.md5(content).hexdigest()}  {path}")
    if not (partial / transcript_path(target).name).is_file():
        raise CorpusError(f"{target.name}: the download holds no transcript {transcript_path(target).name}.")
    write_text(partial / CHECKSUMS, "\n".join(sorted(checksums, key=lambda line: line.split()[1])) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
    return len(checksums) - 1


def fetch_language(language: str, config: DownloadConfig) -> bool:
    """Bring a language into the corpus folder; return False if it was there already, whole.

    Raises:
      CorpusError: if neither the distribution nor upstream can be reached, with both reasons.
    """
    target = Path(config.dl_dir) / "asterisk" / language
    packages = Path(config.dl_dir) / "asterisk" / "packages"
    if (target / CHECKSUMS).is_file() and not damaged_files(target):
        return False
    try:
        prompts = _write_language(_from_apt(language, packages), target)
    except CorpusError as apt_error:
        logging.info(f"{language}: {apt_error}; trying {config.mirror_url}")
        try:
            prompts = _write_language(_from_upstream(language, packages, config.mirror_url), target)
        except CorpusError as http_error:
            raise CorpusError(
                f"cannot fetch the corpus for '{language}': {apt_error}; {http_error}. Check the network and run again "
                f"(what has arrived is kept), or copy a fetched corpus to {target.parent}."
            ) from None
    logging.info(f"{language}: {prompts} prompts in {target}")
    return True


def main() -> None:
    config = config_from_flags(DownloadConfig, __doc__)
    fetched = [language for language in config.languages if fetch_language(language, config)]
    if not fetched:
        logging.info(f"{config.dl_dir}/asterisk holds all of {' '.join(config.languages)}: nothing to fetch")


if __name__ == "__main__":
    run_script(main)
