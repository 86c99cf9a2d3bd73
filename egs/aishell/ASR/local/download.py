#!/usr/bin/env python3
"""Stage 0: fetch AISHELL-1 (https://www.openslr.org/33) by lhotse, once, each archive compared with its checksum."""

import dataclasses
import logging
from pathlib import Path

from lhotse.recipes.aishell import download_aishell
from lhotse.utils import resumable_download

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.manifests import explained_download, require_md5

MD5_OF_ARCHIVE = {
    "data_aishell.tgz": "2f494334227864a8a8fec932999db9d8",
    "resource_aishell.tgz": "957d480a0fcac85fc18e550756f624e5",
}


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """What to fetch and where to put it."""

    dl_dir: str = setting("download", "folder that holds aishell/data_aishell/, or will")
    base_url: str = setting("https://www.openslr.org/resources", "where OpenSLR's resources lie; it has mirrors")


def fetch(config: DownloadConfig) -> bool:
    """Fetch, verify and unpack the corpus, unless it is there; returns whether anything was done.

    Raises:
      CorpusError: if it cannot be fetched, or an archive is damaged.
    """
    dl_dir = Path(config.dl_dir)
    folder = dl_dir / "aishell" / "data_aishell"
    if (folder / ".completed").is_file() or (folder.is_dir() and not (dl_dir / "data_aishell.tgz").is_file()):
        return False
    dl_dir.mkdir(parents=True, exist_ok=True)
    by_hand = f"unpack data_aishell.tgz, and the archives in its wav/, so that {folder}/wav/train/<speaker> is there"
    with explained_download("AISHELL-1", by_hand):
        for name, md5 in MD5_OF_ARCHIVE.items():
            resumable_download(f"{config.base_url}/33/{name}", filename=dl_dir / name)
            require_md5(dl_dir / name, md5)
        download_aishell(dl_dir, base_url=config.base_url)
    for name in MD5_OF_ARCHIVE:
        (dl_dir / name).unlink()
    return True


def main() -> None:
    """Fetch the corpus if it is missing."""
    config = config_from_flags(DownloadConfig, __doc__)
    logging.info("AISHELL-1 %s", "fetched" if fetch(config) else f"is in {config.dl_dir} already")


if __name__ == "__main__":
    run_script(main)
