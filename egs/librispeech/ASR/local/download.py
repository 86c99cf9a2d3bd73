#!/usr/bin/env python3
"""Stage 0: fetch the parts of LibriSpeech that are not there, by lhotse, and compare each archive with its checksum."""

import dataclasses
import logging
from pathlib import Path
from typing import Tuple

from lhotse.recipes.librispeech import download_librispeech
from lhotse.utils import resumable_download
from librispeech_parts import PARTS

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.manifests import explained_download, require_md5


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """What to fetch and where to put it."""

    dl_dir: str = setting("download", "folder that holds LibriSpeech/, or will")
    parts: Tuple[str, ...] = setting(tuple(PARTS), "parts to fetch")
    base_url: str = setting("https://www.openslr.org/resources", "where OpenSLR's resources lie; it has mirrors")


def is_there(folder: Path, archive: Path) -> bool:
    """Whether a part needs no fetching: lhotse unpacked it whole, or the user put it there without an archive."""
    return (folder / ".completed").is_file() or (folder.is_dir() and not archive.is_file())


def fetch_part(part: str, config: DownloadConfig) -> bool:
    """Fetch, verify and unpack one part; returns whether anything was done.

    Raises:
      CorpusError: if it cannot be fetched, or its archive is damaged.
    """
    folder = Path(config.dl_dir) / "LibriSpeech" / part
    archive = Path(config.dl_dir) / f"{part}.tar.gz"
    if is_there(folder, archive):
        return False
    archive.parent.mkdir(parents=True, exist_ok=True)
    with explained_download(f"{part} of LibriSpeech", f"unpack {archive.name} so that {folder}/<speaker> is there"):
        resumable_download(f"{config.base_url}/12/{archive.name}", filename=archive)
        require_md5(archive, PARTS[part].md5)
        download_librispeech(config.dl_dir, part, base_url=config.base_url)
    archive.unlink()  # a third of the disk that both need
    return True


def main() -> None:
    """Fetch what is missing."""
    config = config_from_flags(DownloadConfig, __doc__)
    for part in config.parts:
        logging.info("%s: %s", part, "fetched" if fetch_part(part, config) else "is there already")


if __name__ == "__main__":
    run_script(main)
