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
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Iterator, Tuple

from asterisk_text import LANGUAGES
from corpus_folder import transcript_path

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.checked_folders import CHECKSUMS, Member, damaged_files, write_checked
from icefall_discrete.data.debian_packages import MOST_BYTES, find_packages, package_members, tar_members
from icefall_discrete.data.manifests import CorpusError

RELEASE = "1.6.1"
TIMEOUT_SEC = 30


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """What to fetch and where to put it."""

    dl_dir: str = setting("download", "folder for downloaded files; the corpus goes to its subfolder asterisk")
    languages: Tuple[str, ...] = setting(LANGUAGES, "languages to fetch")
    mirror_url: str = setting(
        "https://downloads.asterisk.org/pub/telephony/sounds/releases",
        "where the release archives lie, used where apt-get cannot deliver",
    )


def _from_apt(language: str, folder: Path) -> Iterator[Member]:
    """Yield the files of a language in the corpus folder's layout, from the distribution's packages."""
    packages = [f"asterisk-core-sounds-{language}-g722", f"asterisk-core-sounds-{language}"]
    for deb in find_packages(packages, folder):
        for path, content in package_members(deb):
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
        for path, content in tar_members(stream):
            if path.endswith(".g722"):
                yield f"sounds/{path}", content
            elif path.endswith(f"core-sounds-{language}.txt"):
                yield f"core-sounds-{language}.txt", content


def fetch_language(language: str, config: DownloadConfig) -> bool:
    """Bring a language into the corpus folder; return False if it was there already, whole.

    Raises:
      CorpusError: if neither the distribution nor upstream can be reached, with both reasons.
    """
    target = Path(config.dl_dir) / "asterisk" / language
    packages, needed = Path(config.dl_dir) / "asterisk" / "packages", [transcript_path(target).name]
    if (target / CHECKSUMS).is_file() and not damaged_files(target):
        return False
    try:
        files = write_checked(_from_apt(language, packages), target, needed)
    except CorpusError as apt_error:
        logging.info(f"{language}: {apt_error}; trying {config.mirror_url}")
        try:
            files = write_checked(_from_upstream(language, packages, config.mirror_url), target, needed)
        except CorpusError as http_error:
            raise CorpusError(
                f"cannot fetch the corpus for '{language}': {apt_error}; {http_error}. Check the network and run again "
                f"(what has arrived is kept), or copy a fetched corpus to {target.parent}."
            ) from None
    logging.info(f"{language}: {files - len(needed)} prompts in {target}")
    return True


def main() -> None:
    config = config_from_flags(DownloadConfig, __doc__)
    fetched = [language for language in config.languages if fetch_language(language, config)]
    if not fetched:
        logging.info(f"{config.dl_dir}/asterisk holds all of {' '.join(config.languages)}: nothing to fetch")


if __name__ == "__main__":
    run_script(main)
