"""Whether a split's archives and manifest are still those that were extracted.

`extract-<split>.json` holds a checksum of each archive and one of the places that the manifest gives each cut:

    "checksums": {"train.codes": {"bytes": 81234, "first": "1c..", "last": "77..", "whole": "e0.."}},
    "places": "5a.."

`first` and `last` are of a block at either end, which is cheap enough for every load: a file of another split, one that
was cut, and one that was shifted are found by them. `whole` is for extraction and for the check of a folder.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, List, Mapping, Optional, Tuple

from lhotse.array import TemporalArray
from lhotse.cut import Cut

from icefall_discrete.base.atomic_files import PathLike
from icefall_discrete.base.inside import what_is_wrong
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.shapes import FROM_0, OBJECT, OBJECTS, TEXT, WHOLE, is_whole, or_null, read_shaped, shown
from icefall_discrete.data.code_archive import ArchiveKey, FlatArchiveReader

LOG = logging.getLogger(__name__)
BLOCK_BYTES = 1 << 16
MANIFEST_SUFFIX = ".jsonl.gz"
_DIGEST_BYTES = 16
_ADVICE = "run stage 3 (extract_codes.py) again, which makes the split anew"
Figures = Dict[str, Any]
_SHAPES = {
    **dict.fromkeys(("bytes", "num_cuts"), WHOLE),
    **dict.fromkeys(("audio_sec", "wall_sec", "rtf"), FROM_0),
    **dict.fromkeys(("dropped", "archives", "checksums"), OBJECT),
    "batches": OBJECTS,
    "places": TEXT,
}
Place = Tuple[str, ArchiveKey, str]  # archive, place in it, cut id


def _digest(data: bytes = b"") -> "hashlib.blake2b":
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES)


def _ends(stream: BinaryIO, size: int) -> Dict[str, Any]:
    first = _digest(stream.read(BLOCK_BYTES)).hexdigest()
    stream.seek(max(0, size - BLOCK_BYTES))
    return {"bytes": size, "first": first, "last": _digest(stream.read(BLOCK_BYTES)).hexdigest()}


def checksum_of(path: PathLike, whole: bool = True) -> Dict[str, Any]:
    """Bytes of a file, digests of its first and last block and, if asked for, of all of it."""
    with open(path, "rb") as stream:
        found = _ends(stream, Path(path).stat().st_size)
        if whole:
            stream.seek(0)
            digest = _digest()
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
            found["whole"] = digest.hexdigest()
    return found


def _arrays(cut: Cut) -> List[TemporalArray]:
    custom = getattr(cut, "custom", None) or {}
    arrays = [custom[name] for name in sorted(custom) if isinstance(custom[name], TemporalArray)]
    return [array for array in arrays if array.array.storage_type == FlatArchiveReader.name]


class Places:
    """Digest of which part of which archive belongs to which cut, in their order; audio and text are not in it."""

    def __init__(self) -> None:
        self._digest = _digest()

    def add(self, cut: Cut) -> None:
        """Count the next cut."""
        keys = [f"{Path(one.array.storage_path).name}:{one.array.storage_key}" for one in _arrays(cut)]
        said = f"{cut.id} {getattr(cut, 'start', 0.0):.6f} {cut.duration:.6f} {' '.join(keys)}\n"
        self._digest.update(said.encode())

    def hexdigest(self) -> str:
        """Of the cuts so far."""
        return self._digest.hexdigest()


def places_digest(cuts: Iterable[Cut]) -> str:
    """The digest of `Places` of these cuts."""
    places = Places()
    for cut in cuts:
        places.add(cut)
    return places.hexdigest()


def checksums_of(folder: Path, archives: Iterable[str], cuts: Iterable[Cut]) -> Figures:
    """The entries `checksums` and `places` for the figures of a split with these archives in `folder`."""
    return {"checksums": {name: checksum_of(folder / name) for name in archives}, "places": places_digest(cuts)}


def figures_path(manifest: PathLike) -> Path:
    """Where the figures of the split lie whose manifest this is."""
    name = Path(manifest).name
    split = name[: -len(MANIFEST_SUFFIX)] if name.endswith(MANIFEST_SUFFIX) else Path(name).stem
    return Path(manifest).with_name(f"extract-{split}.json")


def read_figures(path: PathLike, *keys: str) -> Figures:
    """The figures of a split, which must have `keys`. Raises FileNotFoundError, ValueError with file and key."""
    figures = read_shaped(path, {key: or_null(shape) for key, shape in _SHAPES.items()}, _ADVICE)
    for key in keys:
        if key not in figures:
            raise ValueError(f"{path} has no '{key}'; {_ADVICE}.")
    archives = figures.get("archives", {})
    if not all(is_whole(size) and size >= 0 and not what_is_wrong(name) for name, size in archives.items()):
        raise ValueError(f"{path}: 'archives' is {shown(archives)}, expected file names and their bytes; {_ADVICE}.")
    return figures


def _checksums_in(figures: Mapping[str, Any], where: PathLike) -> Optional[Dict[str, Dict[str, Any]]]:
    """The checksums in figures; None in those of before there were any."""
    checksums = figures.get("checksums")
    if checksums is None:
        return None
    if not isinstance(checksums, dict) or not all(isinstance(one, dict) for one in checksums.values()):
        raise ValueError(f"{where}: 'checksums' is no object of objects; {_ADVICE}.")
    return checksums


def damage(folder: Path, figures: Mapping[str, Any], whole: bool) -> Optional[str]:
    """What is wrong with the archives that `figures` tell of, as a sentence without end; None if nothing is.

    Args:
      whole: read all of each archive, not its ends only.
    """
    for name, expected in (_checksums_in(figures, folder) or {}).items():
        if what_is_wrong(name):
            return f"{folder}: the checksum of {name!r} is of no file in it"
        path = folder / name
        if not path.is_file():
            return f"{path} does not exist"
        found = checksum_of(path, whole)
        if found["bytes"] != expected.get("bytes"):
            return f"{path} has {found['bytes']} bytes, but {expected.get('bytes')} were extracted"
        part = next((part for part in found if found[part] != expected.get(part)), None)
        if part is not None:
            where = {"first": "its beginning", "last": "its end"}.get(part, "its content")
            return f"{path} is not the archive that was extracted: {where} differs"
    return None


def require_same_archives(folder: Path, figures: Mapping[str, Any], whole: bool) -> None:
    """Raise ValueError, naming the archive, if one is no longer what was extracted."""
    wrong = damage(folder, figures, whole)
    if wrong is not None:
        raise ValueError(f"{wrong}; {_ADVICE}.")


def _misplaced(cuts: Iterable[Cut], figures: Mapping[str, Any]) -> Optional[str]:
    """The first cut whose part of an archive overlaps another's, or leaves the archive; None if there is none."""
    places: List[Place] = []
    for cut in cuts:
        for one in _arrays(cut):
            places.append((Path(one.array.storage_path).name, ArchiveKey.parse(one.array.storage_key), cut.id))
    end, before, owner = 0, "", ""
    for archive, key, cut_id in sorted(places):
        end, owner = (end, owner) if archive == before else (0, "the start")
        size = figures.get("archives", {}).get(archive)
        if key.offset < end:
            return f"cut {cut_id} is placed at byte {key.offset} of {archive}, within what belongs to {owner}"
        if size is not None and key.offset + key.num_bytes > size:
            return f"cut {cut_id} is placed at byte {key.offset} of {archive}, and would end behind its {size} bytes"
        end, before, owner = key.offset + key.num_bytes, archive, f"cut {cut_id}"
    return None


def require_same_places(
    manifest: PathLike, cuts: Iterable[Cut], figures: Mapping[str, Any], found: Optional[str] = None
) -> None:
    """Raise ValueError if the manifest gives its cuts other parts of archives than were extracted for them.

    The first misplaced cut is named, where one can be told. `cuts` are read again for that.

    Args:
      found: the digest of their places, where it is known.
    """
    if "places" in figures and (found or places_digest(cuts)) != figures["places"]:
        wrong = _misplaced(cuts, figures)
        if wrong is None:
            count = sum(1 for _ in cuts)
            wrong = f"it lists {count} cuts, which are not the {figures.get('num_cuts')} that were extracted"
        raise ValueError(f"{manifest} was changed after extraction: {wrong}; {_ADVICE}.")


def require_as_extracted(manifest: PathLike, cuts: Iterable[Cut]) -> None:
    """Check cheaply, before cuts are used, that manifest and archives are those of the extraction.

    Nothing is checked where the folder has no figures of the split; figures without checksums are accepted.
    Raises:
      ValueError: naming the archive or the cut.
    """
    path = figures_path(manifest)
    if not path.is_file():
        return
    figures = read_figures(path)
    if _checksums_in(figures, path) is None:
        LOG.info("%s has no checksums yet; stage 4 (check_cuts.py) or stage 3 adds them when it is run again", path)
        return
    require_same_archives(path.parent, figures, whole=False)
    require_same_places(manifest, cuts, figures)


def require_whole_archives(manifest: PathLike) -> None:
    """Read the archives of a split and raise ValueError, naming one, if it is no longer what was extracted."""
    path = figures_path(manifest)
    if path.is_file():
        require_same_archives(path.parent, read_figures(path), whole=True)


def known_checksums(manifest: PathLike) -> Dict[str, str]:
    """What the archives of a split hold, by name, as its figures say; nothing if they say nothing."""
    path = figures_path(manifest)
    checksums = _checksums_in(read_figures(path), path) if path.is_file() else None
    return {name: str(checksum.get("whole")) for name, checksum in sorted((checksums or {}).items())}


def add_checksums(path: Path, figures: Figures, archives: Iterable[str], cuts: Iterable[Cut]) -> Figures:
    """Write figures of before there were checksums anew, with those of the archives as they are; returns them."""
    figures = {**figures, **checksums_of(path.parent, archives, cuts)}
    write_json(path, figures)
    LOG.info("%s: checksums were added, of %s as it is now", path, ", ".join(figures["checksums"]))
    return figures
