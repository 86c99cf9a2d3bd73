"""One split extracted by several jobs, each into files of its own, and their merging.

The batches of a split are dealt out to the shards by duration, as a function of the split alone: jobs may run in any
order, at once or one after the other, each on its own machine with the same file system. Merging writes the split's
manifest, which refers to the shards' archives where they are. Codes and order are those of one job alone.
"""

import collections
import dataclasses
import heapq
import itertools
import json
import logging
import re
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from lhotse import MonoCut

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.json_files import parse_json, write_json
from icefall_discrete.base.provenance import Provenance, recorded_in
from icefall_discrete.base.shapes import TEXT, require
from icefall_discrete.base.text_files import numbered_lines
from icefall_discrete.data.audio_files import join_records
from icefall_discrete.data.checksums import Places, checksums_of, damage, read_figures
from icefall_discrete.data.cuts import write_cuts
from icefall_discrete.data.distinct import SeenIds
from icefall_discrete.data.manifest_lines import read_lines
from icefall_discrete.extraction.encoding import Flips
from icefall_discrete.extraction.spec_file import note_flips

LOG = logging.getLogger(__name__)
POLL_SEC = 2.0
REMIND_SEC = 300.0
SHARD_KEYS = ("num_shards", "shard_id")
_DROP = {"id": TEXT, "reason": TEXT}


class Shard(NamedTuple):
    """One of `num_shards` parts of a split, numbered from 0."""

    shard_id: int = 0
    num_shards: int = 1

    def settings(self) -> Dict[str, int]:
        """What it adds to all that its codes are made from; nothing if it is the whole."""
        return {} if self.num_shards == 1 else dict(zip(SHARD_KEYS, (self.num_shards, self.shard_id)))

    def name_of(self, split: str) -> str:
        """Name of its files: `train.shard-0-of-4`, or that of the split if it is the whole."""
        return split if self.num_shards == 1 else f"{split}.shard-{self.shard_id}-of-{self.num_shards}"


WHOLE = Shard()


class SplitFiles(NamedTuple):
    """Where the files of one split, or of one shard of it, are."""

    name: str
    archive: Path
    manifest: Path
    figures: Path
    dropped: Path
    journal: Path
    audio: Path

    @classmethod
    def of(cls, out_dir: Path, split: str, shard: Shard = WHOLE) -> "SplitFiles":
        """The files of `split`, or of a shard of it, in `out_dir`."""
        name = shard.name_of(split)
        whole = shard.num_shards == 1
        return cls(
            name,
            out_dir / f"{name}.codes",
            out_dir / f"{name}.jsonl.gz",
            # Not extract-*.json, which are the figures of whole splits.
            out_dir / (f"extract-{split}.json" if whole else f"{name}.json"),
            out_dir / (f"dropped-{split}.jsonl" if whole else f"{name}.dropped.jsonl"),
            out_dir / f".{name}.journal.jsonl",
            out_dir / f"{name}.audio.gz",
        )


def shard_batches(seconds: Sequence[float], num_shards: int) -> List[List[int]]:
    """Deal out batches to shards: the longest first, each to the shard with the least so far.

    Returns:
      For each shard the indices of its batches, ascending. Their durations differ by the longest batch at most.
    """
    shards: List[List[int]] = [[] for _ in range(num_shards)]
    loads = [(0.0, shard_id) for shard_id in range(num_shards)]
    for index in sorted(range(len(seconds)), key=lambda index: (-seconds[index], index)):
        load, shard_id = heapq.heappop(loads)
        shards[shard_id].append(index)
        heapq.heappush(loads, (load + seconds[index], shard_id))
    return [sorted(shard) for shard in shards]


def count_reasons(drops: Sequence[Dict[str, str]]) -> Dict[str, int]:
    """How many cuts were dropped for each reason."""
    return dict(sorted(collections.Counter(drop["reason"] for drop in drops).items()))


def archives_of(files: SplitFiles, figures: Dict[str, Any]) -> Dict[str, int]:
    """Names and bytes of the archives that `figures` tells of."""
    return figures.get("archives", {files.archive.name: figures["bytes"]})


def what_is_wrong(files: SplitFiles, figures: Dict[str, Any]) -> Optional[str]:
    """What of the manifest and the archives that `figures` tells of is not there, or not whole; None if all is."""
    if not files.manifest.exists():
        return f"{files.manifest} is missing"
    for name, size in archives_of(files, figures).items():
        path = files.manifest.parent / name
        found = path.stat().st_size if path.exists() else None
        if found != size:
            return f"{path} is missing" if found is None else f"{path} has {found} bytes, expected {size}"
    return damage(files.manifest.parent, figures, whole=False)


def without_old_inputs(figures: Dict[str, Any], made_from: Provenance) -> Dict[str, Any]:
    """Figures of earlier versions with what they were made from in today's words."""
    kept = {key: value for key, value in figures.items() if key not in ("inputs", "made_from")}
    return {**kept, "made_from": made_from.to_json()}


def find_num_shards(out_dir: Path, split: str) -> int:
    """Into how many shards `split` was extracted in `out_dir`; ValueError if that cannot be told."""
    pattern = re.compile(rf"\.?{re.escape(split)}\.shard-\d+-of-(\d+)\..*")
    found = {int(match.group(1)) for match in map(pattern.fullmatch, (p.name for p in out_dir.glob("*"))) if match}
    if len(found) != 1:
        what = f"shards of {', '.join(map(str, sorted(found)))} jobs" if found else "no shard"
        raise ValueError(
            f"{out_dir} holds {what} of '{split}'; "
            + ("say which to merge with --num-shards." if found else "extract them first, with --num-shards.")
        )
    return found.pop()


def missing_shards(out_dir: Path, split: str, num_shards: int) -> List[int]:
    """Numbers of the shards of `split` in `out_dir` that are not complete."""
    missing = []
    for shard_id in range(num_shards):
        files = SplitFiles.of(out_dir, split, Shard(shard_id, num_shards))
        if not files.figures.exists() or what_is_wrong(files, read_figures(files.figures, "bytes")) is not None:
            missing.append(shard_id)
    return missing


def wait_for_shards(out_dir: Path, split: str, num_shards: int) -> None:
    """Return when all shards are complete; whoever starts the jobs ends this one if another one fails."""
    reminded = time.monotonic()
    while True:
        missing = missing_shards(out_dir, split, num_shards)
        if not missing:
            return
        if time.monotonic() - reminded >= REMIND_SEC:
            LOG.info("%s: waiting for shards %s of %d", split, ", ".join(map(str, missing)), num_shards)
            reminded = time.monotonic()
        time.sleep(POLL_SEC)


def _read_cuts(path: Path) -> Iterator[MonoCut]:
    return read_lines(path, "move it aside and rerun the job of that shard")


def read_drops(path: Path) -> Iterator[Dict[str, str]]:
    """Read the file of dropped cuts, {"id", "reason", "message"} each; nothing if there is none."""
    if path.is_file():
        for number, line in numbered_lines(path):
            try:
                drop = parse_json(line)
                require(drop if isinstance(drop, dict) else {}, _DROP, "a dropped cut")
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}; run stage 3 (extract_codes.py) again.") from None
            yield drop


def _in_order(shards: Sequence[Tuple[Dict[str, Any], Iterator[Any]]], count: str) -> Iterator[Any]:
    """The items of all shards in the order of the split's batches; `count` names a batch's number of them."""
    batches = [(batch["index"], batch[count], items) for figures, items in shards for batch in figures["batches"]]
    for _, number, items in sorted(batches, key=lambda batch: batch[0]):
        yield from itertools.islice(items, number)


def _same_origin(shards: Sequence[Tuple[SplitFiles, Dict[str, Any]]]) -> Provenance:
    def whole(files: SplitFiles, figures: Dict[str, Any]) -> Provenance:
        made_from = recorded_in(figures, files.figures)
        settings = {key: value for key, value in made_from.settings.items() if key not in SHARD_KEYS}
        return dataclasses.replace(made_from, settings=settings)

    first = whole(*shards[0])
    for files, figures in shards[1:]:
        advice = "move the files of the shards that are out of date aside and extract them again"
        made = f"{files.manifest} was extracted otherwise than {shards[0][0].manifest},"
        whole(files, figures).require_same(first, made, advice)
    return first


def _checked(read: Callable[[], Iterable[MonoCut]], expected: int, split: str, places: Places) -> Iterator[MonoCut]:
    """The cuts that `read` gives, counted by `places`; raises ValueError behind the last if they are not those."""
    ids = SeenIds()
    for cut in read():
        ids.add(cut.id)
        places.add(cut)
        yield cut
    for twice in ids.repeated(cut.id for cut in read()):
        raise ValueError(
            f"cut {twice} is in two shards of '{split}'; move the shards' files aside and extract them again."
        )
    if len(ids) != expected:
        raise ValueError(
            f"the shards of '{split}' hold {len(ids)} cuts, but their figures say {expected}; move the shards' "
            "files aside and extract them again."
        )


def merge_shards(out_dir: Path, split: str, num_shards: int) -> Dict[str, Any]:
    """Write the manifest and the figures of `split` from those of its shards; archives stay where they are.

    Returns:
      The figures, those of the shards added up (wall_sec too: as if one job had followed another).
    Raises:
      ValueError: if shards are missing (they are named), were made from other cuts, settings or codes than the others,
      hold a cut twice, or dropped more cuts together than the split may.
    """
    out_dir = Path(out_dir)
    missing = missing_shards(out_dir, split, num_shards)
    if missing:
        raise ValueError(
            f"{len(missing)} of {num_shards} shards of '{split}' in {out_dir} are not complete: "
            f"{', '.join(map(str, missing))}; run their jobs (--shard-id), then merge again."
        )
    places = [SplitFiles.of(out_dir, split, Shard(shard_id, num_shards)) for shard_id in range(num_shards)]
    shards = [(files, read_figures(files.figures, "bytes", "num_cuts", "batches")) for files in places]
    made_from = _same_origin(shards)
    drops = list(_in_order([(figures, read_drops(files.dropped)) for files, figures in shards], "num_dropped"))
    if len(drops) > shards[0][1]["max_dropped"]:
        raise ValueError(
            f"{len(drops)} cuts of '{split}' cannot be used, more than max_drop_fraction allows "
            f"({shards[0][1]['max_dropped']}); the first: {drops[0]['message']}"
        )

    def cuts() -> Iterator[MonoCut]:
        return _in_order([(figures, _read_cuts(files.manifest)) for files, figures in shards], "num_cuts")

    num_cuts, seen = sum(figures["num_cuts"] for _, figures in shards), Places()
    files = SplitFiles.of(out_dir, split)
    write_cuts(files.manifest, _checked(cuts, num_cuts, split, seen))
    if drops:
        write_text(files.dropped, "".join(json.dumps(drop, ensure_ascii=False) + "\n" for drop in drops))
    else:
        files.dropped.unlink(missing_ok=True)
    figures = {**_summed([figures for _, figures in shards], drops), **_joined_checksums(shards, seen)}
    figures["made_from"] = made_from.to_json()
    if "together" in figures:
        note_flips(out_dir, split, Flips(figures["together"]["checked"], figures["together"]["flipped"]))
    join_records(files.audio, (place.audio for place in places))
    write_json(files.figures, figures)
    LOG.info("%s: merged %d shards, %d cuts, %d dropped", split, num_shards, num_cuts, len(drops))
    return figures


def _joined_checksums(shards: Sequence[Tuple[SplitFiles, Dict[str, Any]]], places: Places) -> Dict[str, Any]:
    checksums: Dict[str, Any] = {}
    for files, figures in shards:
        # Those of a shard that was extracted before there were any are taken now.
        found = (
            figures if "checksums" in figures else checksums_of(files.archive.parent, archives_of(files, figures), ())
        )
        checksums.update(found["checksums"])
    return {"checksums": checksums, "places": places.hexdigest()}


def _summed(shards: Sequence[Dict[str, Any]], drops: Sequence[Dict[str, str]]) -> Dict[str, Any]:
    def total(key: str) -> Any:
        return sum(figures[key] for figures in shards)

    audio_sec, encode_sec = round(total("audio_sec"), 3), round(total("encode_sec"), 3)
    together = [figures["together"] for figures in shards if "together" in figures]
    counts = {key: sum(one[key] for one in together) for key in ("checked", "flipped")}
    return {
        **({"together": {**together[0], **counts}} if together else {}),
        "audio_sec": audio_sec,
        "wall_sec": round(total("wall_sec"), 3),
        "encode_sec": encode_sec,
        "rtf": round(encode_sec / audio_sec, 6) if audio_sec else None,
        "nj": total("nj"),
        "num_cuts": total("num_cuts"),
        "dropped": count_reasons(drops),
        "bytes": total("bytes"),
        "archives": {name: size for figures in shards for name, size in figures["archives"].items()},
    }
