"""The corpus folder that `download.py` makes and `prepare.py` reads, one subfolder a language.

<language>/sounds/<prompt id>.g722      audio: G.722 at 64 kbit/s, 16 kHz, one channel
<language>/core-sounds-<language>.txt   transcript
<language>/md5sums                      "<md5>  <path below the language's folder>"; written last
"""

from pathlib import Path
from typing import Dict, List

from icefall_discrete.base.text_files import read_text
from icefall_discrete.data.manifests import CorpusError, md5_of

CHECKSUMS = "md5sums"
SAMPLE_RATE_HZ = 16000
SAMPLES_PER_BYTE = 2  # G.722 at 64 kbit/s holds two samples in a byte


def transcript_path(folder: Path) -> Path:
    """Return the transcript of a language's folder."""
    return folder / f"core-sounds-{folder.name}.txt"


def parse_checksums(content: str) -> Dict[str, str]:
    """Return path -> MD5 from the text of an `md5sums` file."""
    pairs = [line.split(maxsplit=1) for line in content.splitlines() if line.strip()]
    if not all(len(pair) == 2 for pair in pairs):
        raise CorpusError(f"a line of {CHECKSUMS} is not '<md5>  <path>'; run stage 0 again, or copy the folder anew.")
    return {path.strip(): md5 for md5, path in pairs}


def read_checksums(folder: Path) -> Dict[str, str]:
    """Return path below `folder` -> MD5 for every file of a language.

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
    """Return the files of a language's folder that are missing or differ from their checksum."""
    return [
        path
        for path, md5 in read_checksums(folder).items()
        if not (folder / path).is_file() or md5_of(folder / path) != md5
    ]
