"""Files of a corpus that no reader of lhotse knows: unpacking them, and reading the headers of many audio files."""

import concurrent.futures
import functools
import logging
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from lhotse import Recording, SupervisionSegment
from tqdm import tqdm

from icefall_discrete.audio.reading import UnreadableAudio, open_recording
from icefall_discrete.base.inside import what_is_wrong
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.manifests import CorpusError, listed

LOG = logging.getLogger(__name__)
# Audio hardly gets smaller, and transcripts some ten times; gzip can make a thousand of one.
_MOST_UNPACKED, _SMALL_BYTES = 100, 2**26
_SHOWN = 40


def _members(tar: tarfile.TarFile, most: int) -> Iterator[tarfile.TarInfo]:
    """The files of an archive, one after the other; ValueError, by name, for what is neither a file nor a folder."""
    left = most
    for member in tar:
        if not (member.isfile() or member.isdir()):
            raise ValueError(f"{member.name!r} is a link or a device, expected files and folders only")
        wrong = what_is_wrong(member.name.rstrip("/"))
        if wrong and not (member.isdir() and member.name.strip("./") == ""):
            raise ValueError(f"it holds {member.name!r}: {wrong}")
        left -= member.size
        if left < 0:
            raise ValueError(f"it unpacks to more than {most} bytes, {_MOST_UNPACKED} times its size")
        if member.isfile():
            yield member


def unpack_tar(archive: Path, folder: Path) -> None:
    """Unpack the files of an archive into a folder that is new, with the modes that any new file has.

    Raises:
      ValueError: for a member that leaves the folder, is a link or a device, or makes the whole far larger than the
        archive; nothing is written outside of the folder. Others, as the libraries have them, if it is damaged.
    """
    folder.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in _members(tar, _MOST_UNPACKED * archive.stat().st_size + _SMALL_BYTES):
            path, content = folder / member.name, tar.extractfile(member)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as stream:
                if content is not None:  # as it is for links, which are none of these
                    shutil.copyfileobj(content, stream, 1 << 20)


def find_corpus(folder: Path, archive: Optional[Path], advice: str) -> bool:
    """Make sure that a corpus is in `folder`: it lies there, or is unpacked from its archive.

    Args:
      folder: of the corpus, or a file that lists it; the archive holds it under the path that it has below the
        archive's own folder.
      archive: a .tar or .tar.gz, or None. advice: where the corpus comes from and what to put where, for the error.
    Returns:
      Whether something was unpacked. What a killed unpacking left is not taken for the corpus.
    Raises:
      CorpusError: if there is neither, or the archive is damaged or another one.
    """
    if folder.exists():
        return False
    if archive is None or not archive.is_file():
        raise CorpusError(f"the corpus is not in {folder}: {advice}.")
    partial = archive.with_name(f".{archive.name}.unpacked.partial")
    shutil.rmtree(partial, ignore_errors=True)
    LOG.info("unpacking %s", archive)
    try:
        unpack_tar(archive, partial)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise CorpusError(f"{archive} cannot be unpacked ({reason}); fetch it again.") from error
    inner = folder.relative_to(archive.parent)
    if not (partial / inner).is_dir():
        found = listed(path.name for path in partial.iterdir())
        raise CorpusError(f"{archive} holds {found}, but no {inner}; is it another archive? {advice}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    (partial / inner).rename(folder)
    shutil.rmtree(partial)
    return True


def transcripts_in(paths: Iterable[Path], separator: Optional[str] = None) -> Dict[str, str]:
    """Text by utterance id, from the lines of some files: an id, the separator (None: any white space) and a text.

    Blank lines count for nothing, and a line that is there twice counts once.

    Raises:
      CorpusError: if an utterance has two texts. NotUtf8: for a file in another encoding.
    """
    texts: Dict[str, str] = {}
    for path in paths:
        for number, line in numbered_lines(path):
            name, text = (*line.split(separator, 1), "")[:2]
            before = texts.setdefault(name, text)
            if text != before:
                raise CorpusError(
                    f"{path}, line {number}: the text of utterance {name} is {text[:_SHOWN]!r}, but before it was "
                    f"{before[:_SHOWN]!r}; an id must have one text: correct the file, or fetch it again."
                )
    return texts


def files_by_id(paths: Iterable[Path], where: str) -> Dict[str, Path]:
    """Audio files by id, which is their name without suffix. Raises CorpusError if two have the same one."""
    files: Dict[str, Path] = {}
    for path in sorted(paths):
        other = files.setdefault(path.stem, path)
        if other != path:
            raise CorpusError(f"{where} holds utterance {path.stem} twice, as {other} and {path}; move one away.")
    return files


class Headers(NamedTuple):
    """What reading headers gave: recordings by id, and why files were left out, by id (unreadable, or no samples)."""

    recordings: Dict[str, Recording]
    unusable: Dict[str, str]


def _header(item: Tuple[str, Path]) -> Tuple[str, Optional[Recording], str]:
    name, path = item
    try:
        return name, open_recording(path, name), ""
    except UnreadableAudio as error:
        return name, None, str(error)


def read_headers(files: Mapping[str, Path], num_jobs: int) -> Headers:
    """Read the headers of audio files, in `num_jobs` processes.

    Args:
      files: audio file by id of the recording it becomes; the result keeps their order.
    """
    bar = functools.partial(tqdm, total=len(files), desc="read headers", unit="file")
    if num_jobs <= 1:
        found: List = list(bar(map(_header, files.items())))
    else:
        with concurrent.futures.ProcessPoolExecutor(num_jobs) as pool:
            found = list(bar(pool.map(_header, files.items(), chunksize=64)))
    unusable = {name: reason for name, _, reason in found if reason}
    for name, reason in unusable.items():
        LOG.warning("%s is left out: %s", files[name], reason)
    if unusable:
        LOG.warning("%d of %d audio files are left out: %s", len(unusable), len(files), listed(unusable))
    return Headers({name: recording for name, recording, _ in found if recording is not None}, unusable)


def whole_supervision(
    recording: Recording, text: Optional[str], language: Optional[str], speaker: Optional[str]
) -> SupervisionSegment:
    """The supervision of all of a recording's first channel, with the recording's id; None for what is not known."""
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
