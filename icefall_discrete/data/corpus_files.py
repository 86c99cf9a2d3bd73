"""Files of a corpus that no reader of lhotse knows: unpacking them, and reading the headers of many audio files."""

import concurrent.futures
import functools
import logging
import shutil
import tarfile
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from lhotse import Recording, SupervisionSegment
from lhotse.utils import safe_extract
from tqdm import tqdm

from icefall_discrete.audio.sources import refusal
from icefall_discrete.data.manifests import CorpusError, listed

LOG = logging.getLogger(__name__)


def find_corpus(folder: Path, archive: Optional[Path], advice: str) -> bool:
    """Make sure that a corpus is in `folder`: it lies there, or is unpacked from its archive.

    Args:
      folder: of the corpus; the archive holds it under the path that it has below the archive's own folder.
      archive: a .tar or .tar.gz, or None. advice: where the corpus comes from and what to put where, for the error.
    Returns:
      Whether something was unpacked. What a killed unpacking left is not taken for the corpus.
    Raises:
      CorpusError: if there is neither, or the archive is damaged or another one.
    """
    if folder.is_dir():
        return False
    if archive is None or not archive.is_file():
        raise CorpusError(f"the corpus is not in {folder}: {advice}.")
    partial = archive.with_name(f".{archive.name}.unpacked.partial")
    shutil.rmtree(partial, ignore_errors=True)
    LOG.info("unpacking %s", archive)
    try:
        with tarfile.open(archive) as tar:
            safe_extract(tar, path=partial)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CorpusError(f"{archive} cannot be unpacked ({error}); fetch it again.") from error
    inner = folder.relative_to(archive.parent)
    if not (partial / inner).is_dir():
        found = listed(path.name for path in partial.iterdir())
        raise CorpusError(f"{archive} holds {found}, but no {inner}; is it another archive? {advice}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    (partial / inner).rename(folder)
    shutil.rmtree(partial)
    return True


class Headers(NamedTuple):
    """What reading headers gave: recordings by id, and why files were left out, by id (unreadable, or no samples)."""

    recordings: Dict[str, Recording]
    unusable: Dict[str, str]


def _header(item: Tuple[str, Path]) -> Tuple[str, Optional[Recording], str]:
    name, path = item
    refused = refusal("file", path)
    if refused:
        return name, None, refused
    try:
        recording = Recording.from_file(path, recording_id=name)
    except Exception as error:  # every audio library has its own errors, and lhotse wraps them
        return name, None, " ".join(str(error).split())[:200]
    return name, recording, "" if recording.num_samples else "it holds no samples"


def read_headers(files: Mapping[str, Path], num_jobs: int) -> Headers:
    """Read the headers of audio files, in `num_jobs` processes.

    Args:
      files: audio file by id of the recording it becomes; the result keeps their order.
    """
    bar = functools.partial(tqdm, total=len(files), desc="read headers", unit="file", mininterval=1.0)
    if num_jobs <= 1:
        found: List = list(bar(map(_header, files.items())))
    else:
        with concurrent.futures.ProcessPoolExecutor(num_jobs) as pool:
            found = list(bar(pool.map(_header, files.items(), chunksize=64)))
    unusable = {name: reason for name, _, reason in found if reason}
    for name, reason in unusable.items():
        LOG.warning("%s is left out: %s", files[name], reason)
    return Headers({name: recording for name, recording, reason in found if not reason}, unusable)


def whole_supervision(recording: Recording, text: str, language: str, speaker: Optional[str]) -> SupervisionSegment:
    """The supervision of all of a recording's first channel, with the recording's id."""
    return SupervisionSegment(
        id=recording.id,
        recording_id=recording.id,
        start=0.0,
        duration=recording.duration,
        channel=recording.channel_ids[0],
        text=text,
        language=language,
        speaker=speaker,
    )
