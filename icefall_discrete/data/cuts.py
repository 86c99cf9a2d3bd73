"""Codes and features on lhotse cuts: attach, count, load; manifests that may be moved with their folder.

In a manifest the archive is named relative to the manifest's own folder (`train.codes` beside `train.jsonl.gz`), and
`load_cuts` puts the folder in front: a moved, renamed or mounted-elsewhere data folder keeps working, and so does a
manifest opened from any working directory. Audio paths are left as the corpus manifest gives them.
"""

import functools
import gzip
import json
import re
from math import isclose
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Tuple, Union

import numpy as np
from lhotse import CutSet, MonoCut
from lhotse.array import Array, TemporalArray, seconds_to_frames
from lhotse.cut import Cut, MixedCut
from lhotse.features.io import get_reader
from lhotse.utils import fastcopy

from icefall_discrete.base.addresses import Address
from icefall_discrete.base.atomic_files import replacing
from icefall_discrete.base.inert_pickle import reason_of
from icefall_discrete.base.provenance import digest_of_lines
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.array_shards import npy_frames
from icefall_discrete.data.checksums import require_as_extracted
from icefall_discrete.data.code_archive import DTYPES, ArchiveKey, FlatArchiveReader
from icefall_discrete.data.distinct import SeenIds
from icefall_discrete.data.manifest_lines import line_of, read_lines

PathLike = Union[str, Path]
FIELDS = {"codes": "codes", "continuous": "features_frames"}
# Beside codes of a variable rate: how many frames of the highest rate each run of equal units lasts, (U, 1).
DURATIONS_FIELD = "code_durations"
FRAME_FIELDS = (*FIELDS.values(), DURATIONS_FIELD)
# Our archives, what lhotse makes of a shard's, and what was moved to memory, whose bytes no manifest can hold.
_STORED = (FlatArchiveReader.name, "memory_npy", "memory_raw")
MANIFEST_SUFFIX = ".jsonl.gz"  # of what is written; .jsonl is read too
SPEED_SUFFIX = re.compile(r"_sp(\d+(?:\.\d+)?)$")  # of the ids of speed-perturbed copies
_LARGEST_INT16 = int(np.iinfo(np.int16).max)
_UNSIGNED = {2: np.uint16, 4: np.uint32}  # by bytes of an id
EDGE_FRAMES = 3  # frames by which a tokenizer may differ from duration x rate: windows without padding, rounding up


def field_name(spec: FeatureSpec) -> str:
    """Name of the custom field that holds the frames: `codes`, or `features_frames` for continuous features."""
    return FIELDS[spec.kind]


def storage_dtype(spec: FeatureSpec) -> str:
    """dtype on disk: float32 for features, int16 for codes, int32 where an id (or the padding id) does not fit."""
    if spec.kind == "continuous":
        return "float32"
    return "int16" if max(spec.codebook_sizes) <= _LARGEST_INT16 else "int32"


def load_audio_cuts(path: PathLike, lazy: bool = False, distinct: bool = False) -> CutSet:
    """Read a manifest whose cuts are to be encoded, each a part of one recording.

    Args:
      path, lazy, distinct: as of `load_cuts`.
    Raises: as `load_cuts`; ValueError, naming the cut, for one that is mixed, padded or joined of several.
    """
    plain = functools.partial(_required_single, path=path)
    if lazy:
        return load_cuts(path, lazy, distinct).map(plain)
    cuts = load_cuts(path)
    for cut in cuts:
        plain(cut)
    return cuts


def _required_single(cut: Cut, path: PathLike) -> Cut:
    if isinstance(cut, MixedCut):
        raise ValueError(
            f"{path}: cut {cut.id} is mixed, padded or joined of {len(cut.tracks)} others; write its audio "
            "to a file (lhotse: cut.save_audio, or CutSet.save_audios), and make a cut of that."
        )
    return cut


def with_recordings(cuts: Iterable[Cut], path: PathLike) -> Iterator[MonoCut]:
    """The cuts of the manifest `path`, each with a recording of its own.

    Raises: ValueError, naming the cut, for one that is mixed, padded or joined of several, or has no recording.
    """
    for cut in cuts:
        _required_single(cut, path)
        if not cut.has_recording:
            raise ValueError(f"{path}: cut {cut.id} has no recording; remake the manifest with recordings.")
        yield cut


def without_frames(cut: MonoCut) -> MonoCut:
    """Return the cut without codes and features; lhotse would keep them, stale, through a speed perturbation."""
    custom = {key: value for key, value in (cut.custom or {}).items() if key not in FRAME_FIELDS}
    return fastcopy(cut, custom=custom or None)


def attach(cut: MonoCut, array: TemporalArray, spec: FeatureSpec) -> MonoCut:
    """Return the cut with `array` as its codes or features."""
    return fastcopy(cut, custom={**(cut.custom or {}), field_name(spec): array})


def attach_stored(cut: MonoCut, keys: Sequence[str], spec: FeatureSpec, archive_name: str) -> MonoCut:
    """Return the cut with what an archive holds for it: `keys` of its codes or features and, if stored, durations.

    Arrays of a variable rate are given the frame shift that fits their length to the cut's.
    """
    arrays = {}
    for name, key in zip((field_name(spec), DURATIONS_FIELD), keys):
        place = ArchiveKey.parse(key)
        array = Array(
            storage_type=FlatArchiveReader.name,
            storage_path=archive_name,
            storage_key=key,
            shape=[place.num_frames, place.num_columns],
        )
        frame_shift = cut.duration / place.num_frames if spec.has_variable_rate else 1.0 / spec.frame_rate_hz
        arrays[name] = TemporalArray(array, temporal_dim=0, frame_shift=frame_shift, start=cut.start)
    return fastcopy(cut, custom={**(cut.custom or {}), **arrays})


def is_speed_perturbed(cut: MonoCut) -> bool:
    """Whether the cut is a speed-perturbed copy (its recording carries a Speed transform)."""
    transforms = (cut.recording.transforms or []) if cut.has_recording else []
    return any((step.get("name") if isinstance(step, dict) else type(step).__name__) == "Speed" for step in transforms)


def original_id(cut: MonoCut, its_id: str) -> str:
    """The id of the cut, or of its recording, without the suffix of a speed-perturbed copy.

    Ids of what was recorded may end in such a suffix too: `meeting0_sp1` and `meeting0_sp2`.
    """
    return SPEED_SUFFIX.sub("", its_id) if is_speed_perturbed(cut) else its_id


def text_if_any(cut: Cut) -> str:
    """The cut's transcript (several supervisions are joined in time order); empty if there is none."""
    return " ".join(s.text for s in sorted(cut.supervisions, key=lambda s: s.start) if s.text)


def text_of(cut: Cut) -> str:
    """The same. Raises ValueError if there is none."""
    text = text_if_any(cut)
    if not text.strip():
        raise ValueError(f"cut {cut.id}: its text is empty; drop it in the manifest stage, or give it a transcript.")
    return text


def language_of(cut: Cut) -> Optional[str]:
    """The language of the cut's first supervision; None where it has none."""
    return min(cut.supervisions, key=lambda s: s.start).language if cut.supervisions else None


def _array_of(cut: Cut, spec: FeatureSpec) -> TemporalArray:
    array = (getattr(cut, "custom", None) or {}).get(field_name(spec))
    if not isinstance(array, TemporalArray):
        raise ValueError(f"cut {cut.id}: has no {field_name(spec)}; extract feature type '{spec.name}' for it first.")
    return array


def _frame_range(cut: MonoCut, array: TemporalArray, spec: FeatureSpec) -> Tuple[int, int]:
    total = array.shape[0]
    if spec.has_variable_rate:
        same = isclose(array.start, cut.start, abs_tol=1e-6) and isclose(
            total * array.frame_shift, cut.duration, abs_tol=1e-3
        )
        if not same:
            raise ValueError(
                f"cut {cut.id}: was truncated or its speed changed after extraction, but '{spec.name}' has a variable "
                "rate, so that its codes belong to the whole cut only; extract the new cut itself."
            )
        return 0, total
    _require_in_place(cut, array, spec)
    whole = abs(total * array.frame_shift - cut.duration) < (EDGE_FRAMES + 0.5) * array.frame_shift
    if whole and isclose(array.start, cut.start, abs_tol=1e-6):
        return 0, total  # not lhotse's rounding of the duration, which would lose a frame of tokenizers that round up
    left = seconds_to_frames(cut.start - array.start, array.frame_shift, max_index=total)
    return left, min(total, left + seconds_to_frames(cut.duration, array.frame_shift, max_index=total))


def _require_in_place(cut: MonoCut, array: TemporalArray, spec: FeatureSpec) -> None:
    """Raise ValueError unless the codes have the rate of the spec, and reach from the cut's start to its end."""
    if array.temporal_dim != 0 or not isclose(array.frame_shift * spec.frame_rate_hz, 1.0, rel_tol=1e-3):
        raise ValueError(
            f"cut {cut.id}: its {field_name(spec)} have a frame every {array.frame_shift:.6g} s along axis "
            f"{array.temporal_dim}, expected {1 / spec.frame_rate_hz:.6g} s along axis 0, as {spec.name} has; the "
            "manifest is another than extraction wrote: run stage 3 again."
        )
    end, edge = array.start + array.shape[0] * array.frame_shift, (EDGE_FRAMES + 0.5) * array.frame_shift
    if cut.start < array.start - 1e-5 or cut.start + cut.duration > end + edge:
        raise ValueError(
            f"cut {cut.id}: it lasts from {cut.start:.6g} to {cut.start + cut.duration:.6g} s, its "
            f"{field_name(spec)} from {array.start:.6g} to {end:.6g} s; extract it again (stage 3)."
        )


def num_frames(cut: Cut, spec: FeatureSpec) -> int:
    """Number of frames T of the cut's codes or features, without reading them (cut.num_frames is None for codes)."""
    if isinstance(cut, MixedCut):
        return len(load_frames(cut, spec))
    left, right = _frame_range(cut, _array_of(cut, spec), spec)
    return right - left


def load_frames(cut: Cut, spec: FeatureSpec) -> np.ndarray:
    """Read the cut's codes (T, K) int16/int32 or features (T, D) float32; a truncated cut gives its own frames only.

    Raises ValueError, naming cut and archive, for an id that no codebook has, and features that are NaN or infinite.

    A padded cut is read by lhotse: pad codes with `pad_value_dict={"codes": pad id}`, never with its default 0.
    """
    if isinstance(cut, MixedCut):
        if spec.has_variable_rate:
            raise ValueError(
                f"cut {cut.id}: is padded or mixed, but '{spec.name}' has a variable rate, so that its codes have no "
                "fixed place in time; pad batches of codes, not cuts."
            )
        return cut.load_custom(field_name(spec))
    array = _array_of(cut, spec)
    frames = _read(cut, array, *_frame_range(cut, array, spec))
    _require_sound(frames, cut, spec)
    return frames


def _require_sound(frames: np.ndarray, cut: MonoCut, spec: FeatureSpec) -> None:
    if spec.kind == "continuous":
        if not np.isfinite(frames).all():
            number = (~np.isfinite(frames)).sum()
            raise ValueError(f"cut {cut.id}: {number} features are NaN or infinite; {_advice(cut, spec)}")
        return
    sizes = spec.codebook_sizes
    if frames.shape[1] != len(sizes) or frames.dtype != DTYPES[storage_dtype(spec)] or not frames.size:
        return  # which others say
    # Read as unsigned, an id below 0 is larger than any size: one pass finds that there is nothing to be found.
    if int(frames.view(_UNSIGNED[frames.dtype.itemsize]).max()) < min(sizes):
        return
    wrong = (frames < 0) | (frames >= np.asarray(sizes))
    if wrong.any():
        frame, codebook = np.argwhere(wrong)[0]
        raise ValueError(
            f"cut {cut.id}: id {frames[frame, codebook]} in frame {frame} of codebook {codebook}, expected 0 to "
            f"{sizes[codebook] - 1}; {_advice(cut, spec)}"
        )


def _advice(cut: MonoCut, spec: FeatureSpec) -> str:
    archive = _array_of(cut, spec).array.storage_path
    return f"{archive} was changed or damaged: move the folder of '{spec.name}' aside and extract again."


def load_durations(cut: MonoCut, spec: FeatureSpec) -> np.ndarray:
    """Read the durations (U,) of the units of a cut with codes of a variable rate, in frames of the highest rate."""
    array = (cut.custom or {}).get(DURATIONS_FIELD)
    if not spec.has_variable_rate or not isinstance(array, TemporalArray):
        raise ValueError(f"cut {cut.id}: has no {DURATIONS_FIELD}; extract feature type '{spec.name}' for it first.")
    return _read(cut, array, *_frame_range(cut, array, spec))[:, 0]


def _read(cut: MonoCut, array: TemporalArray, left: int, right: int) -> np.ndarray:
    stored = array.array
    if stored.storage_type not in _STORED:
        raise ValueError(
            f"cut {cut.id}: its array is stored as '{stored.storage_type}', expected {' or '.join(_STORED)}."
        )
    if stored.storage_type == "memory_npy":
        frames = npy_frames(stored.storage_key, left, right)
        if frames is not None:
            return frames
    try:
        return get_reader(stored.storage_type)(stored.storage_path).read(
            stored.storage_key, left_offset_frames=left, right_offset_frames=right
        )
    except (EOFError, MemoryError, ValueError) as error:
        raise ValueError(f"cut {cut.id}: {error if isinstance(error, ValueError) else reason_of(error)}") from error


def check_num_frames(cut: Cut, spec: FeatureSpec) -> None:
    """Raise ValueError if the array of an extracted cut does not fit its duration at the promised rate.

    For cuts as they were extracted, not truncated: a stale array, kept through a change of speed, has another length.
    Where the rate is variable, the durations of the units are held against it.
    """
    found, promised = _array_of(cut, spec).shape[0], spec.num_frames(cut.duration)
    if spec.has_variable_rate:
        found = int(load_durations(cut, spec).sum())
    if abs(found - promised) > EDGE_FRAMES:
        raise ValueError(
            f"cut {cut.id}: {found} frames for {cut.duration:.3f} s, but {spec.name} promises "
            f"{spec.max_frame_rate_hz or spec.frame_rate_hz} Hz "
            f"({promised} +- {EDGE_FRAMES}); the codes are stale or of another rate: extract the cut again."
        )


@functools.lru_cache(maxsize=64)
def _inside(folder: Path, name: str) -> str:
    return str(Path(folder) / name)


def _in_folder(cut: Cut, folder: Path) -> Cut:
    """The cut, which was just read and is nobody's yet, with the paths of its archives put right."""
    for value in (getattr(cut, "custom", None) or {}).values():
        if isinstance(value, TemporalArray) and value.array.storage_type == FlatArchiveReader.name:
            value.array.storage_path = _inside(folder, value.array.storage_path)
    return cut


class _Manifest:
    """The cuts of a manifest, read anew at every pass. Args: distinct: whether a pass ends as `load_cuts` says."""

    def __init__(self, path: Path, distinct: bool) -> None:
        self._path, self._distinct = path, distinct

    def __iter__(self) -> Iterator[Cut]:
        cuts = read_lines(self._path)
        return self._distinct_ones(cuts) if self._distinct else cuts

    def _distinct_ones(self, cuts: Iterator[Cut]) -> Iterator[Cut]:
        ids = SeenIds()
        for cut in cuts:
            ids.add(cut.id)
            yield cut
        if not ids:
            raise ValueError(f"{self._path} holds no cuts; run the stage that makes it again.")
        repeated = ids.repeated(cut.id for cut in read_lines(self._path))
        for twice, count in repeated.items():
            raise ValueError(
                f"{self._path}: {count} cuts have the id {twice!r} ({sum(repeated.values()) - len(repeated)} ids too "
                "few in all), expected one of each; give each an id of its own, or leave out what is there twice."
            )


def load_cuts(path: PathLike, lazy: bool = False, distinct: bool = False) -> CutSet:
    """Read a manifest of cuts (.jsonl or .jsonl.gz) with the paths of code archives put right.

    Args:
      path: the manifest, or its address. lazy: read it while iterating (if it does not fit in memory); errors come
        up then. distinct: refuse, behind the last cut, a manifest without cuts, or with an id that occurs twice, as
        is done of one that is not read lazily; eight bytes a cut.
    Raises:
      FileNotFoundError: if it is missing. ValueError: if it is truncated, damaged or empty, or a line is no cut.
    """
    path = path if isinstance(path, Path) else Path(path)
    manifest, place = _Manifest(path, distinct or not lazy), functools.partial(_in_folder, folder=path.parent)
    if not lazy:
        return CutSet.from_cuts(list(map(place, manifest)))
    if not isinstance(path, Address):
        open(path, "rb").close()  # the system's own sentence, if there is none
    return CutSet(manifest).map(place)


def load_feature_cuts(path: PathLike, expected: Optional[FeatureSpec] = None) -> Tuple[CutSet, FeatureSpec]:
    """Read a feature manifest and the spec.json beside it.

    Raises ValueError with every difference if `expected` (the spec a model was trained with) is given and differs, and
    if archive or manifest are no longer those that were extracted (data/checksums.py).
    """
    path = Path(path)
    spec = FeatureSpec.read(path.parent / "spec.json")
    if expected is not None:
        expected.require_same(spec, "the model", str(path))
    cuts = load_cuts(path)
    require_as_extracted(path, cuts)
    return cuts, spec


def cuts_digest(cuts: Iterable[Cut]) -> str:
    """Digest of what is said in which cuts, in their order; where their audio and codes lie is not in it."""
    lines = (
        f"{cut.id} {getattr(cut, 'start', 0.0):.6f} {cut.duration:.6f} "
        + " ".join(f"{said.language} {said.text}" for said in cut.supervisions)
        for cut in cuts
    )
    return digest_of_lines(lines)


def require_manifest_name(path: PathLike) -> None:
    """Raise ValueError if a manifest of cuts that is to be written has another name than those that can be read."""
    if not str(path).endswith(MANIFEST_SUFFIX):
        raise ValueError(f"{path} does not end in {MANIFEST_SUFFIX}, as manifests do that are read; name it so.")


def write_lines(path: PathLike, lines: Iterable[Dict[str, Any]]) -> None:
    """Write objects to a .jsonl.gz, whole; same objects, same bytes (no time stamp or name in the gzip header)."""
    with (
        replacing(path) as temporary,
        open(temporary, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream,
    ):
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False).encode("utf-8") + b"\n")


def write_cuts(path: PathLike, cuts: Iterable[Cut]) -> None:
    """Write a manifest; see `write_lines`."""
    write_lines(path, map(line_of, cuts))
