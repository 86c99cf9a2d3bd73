"""What the header of an audio file announces, and how many bytes of samples the file holds.

libsndfile believes the file where both differ, and says nothing: half a file is half a recording to it.
"""

import re
import struct
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, NamedTuple, Optional, Tuple

# Writers to a pipe, which cannot know the length, announce a number near one of these.
STREAM_LIMITS = (1 << 31, 1 << 32)
STREAM_SLACK = 1 << 16
_LOOK_BYTES = 1 << 20
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
_OGG_LONG_BYTES = 1 << 26
_OGG_END = 4
_ID3V1_BYTES = 128
# Where the samples begin, by the name of the chunk that holds them.
_SAMPLE_CHUNKS = {b"data": 0, b"SSND": 8}
# Chunks that are often put behind the samples; where one begins, even one that is cut short, there are no samples.
_OTHER_CHUNKS = (b"LIST", b"bext", b"iXML", b"_PMX", b"id3 ", b"ID3 ", b"cue ", b"fact", b"PEAK", b"smpl", b"JUNK")
_LOGGED = re.compile(r"(?:riff|BODY|Data length)\s*:?\s*(\d+) \(?should be (\d+)|truncated\. (\d+) <--> (\d+)")


class Samples(NamedTuple):
    """Bytes of samples: where they begin, how many are announced, how many follow in the file.

    loose: of those that follow, the ones behind what is announced that belong to nothing that the format knows.
    has_more: whether other chunks of samples follow.
    """

    start: int
    announced: int
    held: int
    loose: int = 0
    has_more: bool = False

    @property
    def is_stream(self) -> bool:
        """Whether the header was written before the length was known; all that follows is samples then."""
        return any(-STREAM_SLACK < self.announced - limit <= 0 for limit in STREAM_LIMITS)


def _is_chunk(stream: BinaryIO, start: int, end: int, order: str) -> bool:
    """Whether a chunk may begin here: it has a name, and ends within the file."""
    stream.seek(start)
    head = stream.read(8)
    return (
        len(head) == 8
        and all(32 <= char < 127 for char in head[:4])
        and start + 8 + struct.unpack(f"{order}4xI", head)[0] <= end
    )


def _after_chunk(stream: BinaryIO, after: int, end: int, order: str) -> int:
    """Where the next chunk begins: they are padded to even sizes, but not by every writer."""
    padded = after + after % 2
    if padded == after or _is_chunk(stream, padded, end, order) or not _is_chunk(stream, after, end, order):
        return padded
    return after


def _chunks(stream: BinaryIO, start: int, end: int, order: str) -> Iterator[Tuple[bytes, int, int]]:
    """Name, first byte and size of each chunk from `start` on."""
    while True:
        stream.seek(start)
        head = stream.read(8)
        if len(head) < 8:
            return
        name, size = struct.unpack(f"{order}4sI", head)
        yield name, start + 8, size
        start = _after_chunk(stream, start + 8 + size, end, order)


def _syncsafe(sizes: bytes) -> int:
    return sum((byte & 127) << shift for byte, shift in zip(sizes, (21, 14, 7, 0)))


def _after_tags(stream: BinaryIO, start: int, end: int) -> int:
    """Where the tags that begin at `start` end: ID3v2, APEv2 and ID3v1, which players write behind any format."""
    while start < end:
        stream.seek(start)
        head = stream.read(32)
        if head[:3] == b"ID3" and len(head) >= 10:
            start += 10 + _syncsafe(head[6:10])
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            start += 32 + struct.unpack_from("<I", head, 12)[0]
        elif head[:3] == b"TAG" and start + _ID3V1_BYTES == end:
            start = end
        else:
            break
    return min(start, end)


def _is_silent(stream: BinaryIO, start: int) -> bool:
    stream.seek(start)
    return not any(block.strip(b"\0") for block in iter(lambda: stream.read(_LOOK_BYTES), b""))


def _behind(stream: BinaryIO, after: int, end: int, order: str) -> Tuple[int, bool]:
    """Bytes behind the samples that are no chunks, tags or silence, and whether chunks of samples are among the rest.

    after: where the samples end, before the byte that makes their number even.
    """
    start, has_samples = min(after + after % 2, end), False
    for name, first, size in _chunks(stream, _after_chunk(stream, after, end, order), end, order):
        if not _is_chunk(stream, first - 8, end, order):
            break
        has_samples = has_samples or name in _SAMPLE_CHUNKS
        start = min(first + size + size % 2, end)
    # What is no chunk may begin without the padding too.
    start = max(_after_tags(stream, place, end) for place in {start, max(after, start - 1)})
    return (0 if _is_silent(stream, start) else end - start), has_samples


def _of_chunks(stream: BinaryIO, order: str, end: int) -> Optional[Samples]:
    long_size = 0  # of RF64, in a chunk of its own
    for name, first, size in _chunks(stream, 12, end, order):
        if name == b"ds64":
            stream.seek(first)
            long_size = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
        if name in _SAMPLE_CHUNKS:
            start = first + _SAMPLE_CHUNKS[name]
            announced = max(0, (long_size if long_size and size == 0xFFFFFFFF else size) - (start - first))
            after = start + announced
            loose, has_more = _behind(stream, after, end, order) if after < end else (0, False)
            stream.seek(start)
            is_empty = announced == 0 and stream.read(4) in _OTHER_CHUNKS
            return Samples(start, announced, end - start, 0 if is_empty else loose, has_more)
    return None


def _of_au(stream: BinaryIO, end: int) -> Samples:
    stream.seek(4)
    start, announced = struct.unpack(">II", stream.read(8).ljust(8, b"\0"))
    after = start + announced
    loose = end - _after_tags(stream, after, end) if after < end else 0
    return Samples(start, announced, end - start, loose)


def _of_sphere(stream: BinaryIO, end: int) -> Optional[Samples]:
    stream.seek(0)
    head = stream.read(1024).decode("latin-1")
    lines = (line.split(" ", 2) for line in head.splitlines()[2:])
    fields: Dict[str, str] = {line[0]: line[2].strip() for line in lines if len(line) == 3}
    names = ("sample_count", "channel_count", "sample_n_bytes")
    if not all(fields.get(name, "").isdigit() for name in names) or "shorten" in fields.get("sample_coding", ""):
        return None
    start, announced = int(head.split()[1]), 1
    for name in names:
        announced *= int(fields[name])
    return Samples(start, announced, end - start, max(0, end - start - announced))


def announced_samples(path: Path) -> Optional[Samples]:
    """What a WAV (RIFF, RIFX, RF64), AIFF, AU or SPHERE file announces; None for any other file."""
    end = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(12)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
            return _of_chunks(stream, ">" if head[:4] == b"RIFX" else "<", end)
        if head[:4] == b"FORM" and head[8:11] == b"AIF":
            return _of_chunks(stream, ">", end)
        if head[:4] == b".snd":
            return _of_au(stream, end)
        return _of_sphere(stream, end) if head[:8] == b"NIST_1A\n" else None


def logged_difference(log: str) -> Optional[Tuple[int, int]]:
    """Bytes announced and held, where libsndfile's log of a rarer format says that they differ."""
    found = _LOGGED.search(log)
    if found is None:
        return None
    announced, held, truncated, whole = found.groups()
    return (int(whole), int(truncated)) if truncated else (int(announced), int(held))


def _ogg_pages(stream: BinaryIO, start: int, end: int) -> Iterator[Tuple[int, bytes, bool]]:
    """Flags and stream of each page of an Ogg file from `start` on, and whether it is whole, until one is no page."""
    while True:
        stream.seek(start)
        head = stream.read(27 + 255)
        if len(head) < 27 or not head.startswith(b"OggS"):
            return
        start += 27 + head[26] + sum(head[27 : 27 + head[26]])
        yield head[5], head[14:18], start <= end


def ogg_fault(path: Path) -> Optional[str]:
    """What is wrong with the pages of an Ogg file: none is marked as the last, or others follow that one.

    None if nothing is, or for another file. Of a very long file the end alone is looked at.
    """
    end = path.stat().st_size
    with open(path, "rb") as stream:
        first = stream.read(27)
        if not first.startswith(b"OggS"):
            return None
        start = 0
        if end > _OGG_LONG_BYTES:
            start = end - 2 * _OGG_PAGE_BYTES
            stream.seek(start)
            start += max(0, stream.read().find(b"OggS"))
        has_ended = False
        for flags, serial, is_whole in _ogg_pages(stream, start, end):
            if has_ended or serial != first[14:18]:
                return "it holds several streams, of which only the first would be read"
            has_ended = bool(flags & _OGG_END) and is_whole
    return None if has_ended else "it is cut short: it ends before the page that is marked as the last"


class Mp3Length(NamedTuple):
    """Bytes that the head of an MP3 announces (0: the samples alone), those that follow, and whether they are more.

    goes_on: whether audio follows behind what is announced.
    """

    announced: int
    held: int
    goes_on: bool


def mp3_length(path: Path) -> Optional[Mp3Length]:
    """The length in the Xing, Info or VBRI head of an MP3; None where there is none, or it was not filled in."""
    with open(path, "rb") as stream:
        head = stream.read(10)
        start = 0
        if head[:3] == b"ID3":
            start = 10 + _syncsafe(head[6:10])
        stream.seek(start)
        frame = stream.read(256)
        places = [frame.find(name) for name in (b"Xing", b"Info") if name in frame]
        if places:
            flags, frames, announced = struct.unpack(">III", frame[places[0] + 4 : places[0] + 16].ljust(12, b"\0"))
            frames, announced = frames if flags & 1 else 0, announced if flags & 3 == 3 else 0
        elif frame[36:40] == b"VBRI":
            announced, frames = struct.unpack(">II", frame[46:54])
        else:
            return None
        stream.seek(start + announced)
        after = stream.read(2)
    goes_on = len(after) == 2 and after[0] == 0xFF and after[1] & 0xE0 == 0xE0
    held = path.stat().st_size - start
    return Mp3Length(announced, held, goes_on) if frames else None
