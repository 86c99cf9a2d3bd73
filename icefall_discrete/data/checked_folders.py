"""Folders of fetched files with a list of their checksums, `md5sums`: written whole or not at all, and verified."""

import gzip
import hashlib
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.text_files import read_text
from icefall_discrete.data.manifests import CorpusError, md5_of

CHECKSUMS = "md5sums"  # lines "<md5>  <path below the folder>"
MOST_BYTES_OF_ALL = 2**30  # of a folder

Member = Tuple[str, bytes]  # path of a file and its content


def parse_checksums(content: str) -> Dict[str, str]:
    """Return path -> MD5 from the text of an `md5sums` file."""
    pairs = [line.split(maxsplit=1) for line in content.splitlines() if line.strip()]
    if not all(len(pair) == 2 for pair in pairs):
        raise CorpusError(f"a line of {CHECKSUMS} is not '<md5>  <path>'; run stage 0 again, or copy the folder anew.")
    return {path.strip(): md5 for md5, path in pairs}


def read_checksums(folder: Path) -> Dict[str, str]:
    """Return path below `folder` -> MD5 for every file that was fetched.

    Raises:
      CorpusError: if the folder or its list of checksums is missing.
    """
    listing = folder / CHECKSUMS
    if not listing.is_file():
        raise CorpusError(
            f"{folder} is not a fetched language of the corpus (no {CHECKSUMS} in it); give the folder that stage 0 "
            "made with --corpus-dir, or run stage 0 first."
        )
    return parse_checksums(read_text(listing))


def damaged_files(folder: Path) -> List[str]:
    """Return the files of a folder that are missing or differ from their checksum."""
    return [
        path
        for path, md5 in read_checksums(folder).items()
        if not (folder / path).is_file() or md5_of(folder / path) != md5
    ]


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


def write_checked(members: Iterator[Member], target: Path, needed: Sequence[str]) -> int:
    """Write files and, last, their checksums to the folder `target`, in the place of an older one; return their number.

    Args:
      members: from `tar_members` or `package_members`, with the paths that they get below the folder.
      needed: patterns, as of `Path.glob`; a folder without a file for each is another thing than was wanted.
    Raises:
      CorpusError: for an archive that is damaged, holds paths that lead elsewhere, unpacks to too much, or is another.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    checksums: List[str] = []
    for path, content in _whole(members, partial):
        file = partial / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        checksums.append(f"{hashlib.md5(content).hexdigest()}  {path}")
    for pattern in needed:
        if not any(partial.glob(pattern)):
            raise CorpusError(f"{target.name}: the download holds no {pattern}.")
    write_text(partial / CHECKSUMS, "\n".join(sorted(checksums, key=lambda line: line.split()[1])) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
    return len(checksums)
