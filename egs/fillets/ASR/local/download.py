#!/usr/bin/env python3
"""Stage 0: fetch the dialogues of Fish Fillets NG (sounds and texts), verified, once.

They come from Debian's packages by `apt-get download` (no root needed), or from a folder where their .deb files lie.
Whole languages are left alone; a damaged or half-fetched one is fetched again.
"""

import dataclasses
import logging
import re
from pathlib import Path
from typing import Iterator, Sequence, Tuple

from fillets_dialogs import LANGUAGES

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.checked_folders import CHECKSUMS, Member, damaged_files, write_checked
from icefall_discrete.data.debian_packages import find_packages, package_members
from icefall_discrete.data.manifests import CorpusError

_GAME = "usr/share/games/fillets-ng"
_SOUND = re.compile(rf"{_GAME}/sound/([^/]+)/([^/]+)/([^/]+\.ogg)")
_TEXT = re.compile(rf"{_GAME}/script/([^/]+)/dialogs_([^/]+)\.lua")


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """What to fetch and where to put it."""

    dl_dir: str = setting("download", "folder for downloaded files; the corpus goes to its subfolder fillets")
    languages: Tuple[str, ...] = setting(LANGUAGES, "languages to fetch")
    packages_dir: str = setting(
        "", "folder of the packages' .deb files, for those fetched by hand; empty: fillets/packages in the former"
    )

    @property
    def packages(self) -> Path:
        """Folder of the .deb files."""
        return Path(self.packages_dir or Path(self.dl_dir) / "fillets" / "packages")


def packages_of(language: str) -> Sequence[str]:
    """Names of the packages with the sounds and with the texts of a language."""
    return [f"fillets-ng-data-{language}", "fillets-ng-data"]


def members_of(language: str, debs: Sequence[Path]) -> Iterator[Member]:
    """Yield the files of a language in the layout of `fillets_dialogs`, from its packages."""
    for deb in debs:
        for path, content in package_members(deb):
            sound, text = _SOUND.fullmatch(path), _TEXT.fullmatch(path)
            if sound and sound[2] == language:
                yield f"sounds/{sound[1]}/{sound[3]}", content
            elif text and text[2] == language:
                yield f"texts/{text[1]}.lua", content


def fetch_language(language: str, config: DownloadConfig) -> bool:
    """Bring a language into the corpus folder; return False if it was there already, whole.

    Raises:
      CorpusError: if its packages are not to be had, with the reason and what to put where.
    """
    target = Path(config.dl_dir) / "fillets" / language
    if (target / CHECKSUMS).is_file() and not damaged_files(target):
        return False
    packages = packages_of(language)
    try:
        debs = find_packages(packages, config.packages)
        files = write_checked(members_of(language, debs), target, ["sounds/*/*.ogg", "texts/*.lua"])
    except CorpusError as error:
        raise CorpusError(
            f"cannot fetch the corpus for '{language}': {str(error).rstrip('.')}. Check the network and run again, or "
            f"fetch Debian's packages {' and '.join(packages)} by hand (https://packages.debian.org/{packages[0]}) and "
            f"put their .deb files into {config.packages}, or name their folder with --packages-dir."
        ) from None
    logging.info(f"{language}: {files} files in {target}")
    return True


def main() -> None:
    config = config_from_flags(DownloadConfig, __doc__)
    fetched = [language for language in config.languages if fetch_language(language, config)]
    if not fetched:
        logging.info(f"{config.dl_dir}/fillets holds all of {' '.join(config.languages)}: nothing to fetch")


if __name__ == "__main__":
    run_script(main)
