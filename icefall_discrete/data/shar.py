"""Cuts and their codes as lhotse Shar: numbered shards that are read in sequence, one set of fields a feature type.

    <folder>/cuts/cuts.000000.jsonl.gz ...      the cuts, without codes, once for all feature types
    <folder>/cuts/shar.json                     how many, their duration, and a digest of ids and durations
    <folder>/<feature type>/frames.000000.tar ...   codes (T, K) or features (T, D) of the cuts of the same shard
    <folder>/<feature type>/spec.json

Another feature type adds its folder and touches nothing else. Memory does not grow with the corpus: a reader holds the
cuts of the sampler's buffer. A folder appears under its name when it is complete.
"""

import contextlib
import dataclasses
import hashlib
import logging
import random
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from lhotse import CutSet
from lhotse.cut import MixedCut, MonoCut
from lhotse.utils import fastcopy

from icefall_discrete.base.addresses import Address, AddressError, fetched_ahead, readable
from icefall_discrete.base.inert_pickle import reason_of
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import (
    Difference,
    Provenance,
    Rules,
    against,
    differences,
    digest_of_file,
    read_record,
    set_aside,
)
from icefall_discrete.base.settings import check_settings, setting, to_dict
from icefall_discrete.base.shapes import COUNT, FROM_0, TEXT, read_shaped
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.array_shards import SHARD_NAME, ArrayShardWriter, read_arrays
from icefall_discrete.data.checksums import checksum_of, damage, known_checksums
from icefall_discrete.data.cut_shards import CUTS_NAME, CutShardWriter
from icefall_discrete.data.cuts import cuts_digest, field_name, load_frames
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.data.manifest_lines import read_lines

LOG = logging.getLogger(__name__)
CUTS_FOLDER = "cuts"
SUMMARY_FILE = "shar.json"
ORIGIN_FILE = "made_from.json"
CHECKSUM_FILE = "checksums.json"


@dataclasses.dataclass(frozen=True)
class SharConfig:
    """How cuts are divided into shards."""

    shard_size: int = setting(1000, "cuts in a shard; shards are shuffled as a whole, cuts within a buffer", minimum=1)

    shuffle_buffer: int = setting(
        20000, "cuts among which the next one is drawn at export; 1: in the given order", minimum=1
    )

    def __post_init__(self) -> None:
        check_settings(self)


class _Summary:
    """What identifies a sequence of cuts: number, seconds, digests of ids and durations and of what is said in them."""

    def __init__(self, shard_size: int) -> None:
        self._values: Dict[str, Any] = {"num_cuts": 0, "duration_sec": 0.0, "shard_size": shard_size}
        self._digest, self._contents = hashlib.sha256(), hashlib.sha256()

    def add(self, cut: MonoCut) -> None:
        """Count the next cut."""
        self._values["num_cuts"] += 1
        self._values["duration_sec"] += cut.duration
        self._digest.update(f"{cut.id} {cut.duration:.6f}\n".encode())
        self._contents.update(cuts_digest([cut]).encode())

    def values(self) -> Dict[str, Any]:
        """JSON-ready."""
        rounded = round(self._values["duration_sec"], 3)
        return {
            **self._values,
            "duration_sec": rounded,
            "digest": self._digest.hexdigest(),
            "contents": self._contents.hexdigest(),
        }


def _read_summary(folder: Path) -> Dict[str, Any]:
    """The summary of the cuts that are exported to the folder of a split."""
    shapes = {"num_cuts": COUNT, "shard_size": COUNT, "duration_sec": FROM_0, "digest": TEXT}
    return read_shaped(folder / CUTS_FOLDER / SUMMARY_FILE, shapes, "move the folder aside and export again")


@contextlib.contextmanager
def _complete_or_absent(folder: Path) -> Iterator[Path]:
    """A new folder that gets its name `folder` if all goes well; what a killed run left of it is removed first."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sums = {path.name: checksum_of(path) for path in sorted(partial.iterdir()) if path.suffix != ".json"}
    write_json(partial / CHECKSUM_FILE, {"checksums": sums})
    partial.rename(folder)


def _require_whole_rate(spec: FeatureSpec) -> None:
    if spec.has_variable_rate:
        raise ValueError(
            f"'{spec.name}' has a variable rate, and Shar keeps one array a cut, without the durations of its units; "
            "train from the manifest instead."
        )


def export_shar(cuts: Iterable[MonoCut], spec: FeatureSpec, folder: Path, config: SharConfig) -> Dict[str, Any]:
    """Write cuts with codes or features of `spec` as Shar; return the summary of the cuts.

    Args:
      cuts: extracted cuts, read once, in the order of the shards.
      spec: what they hold. folder: of the split; another feature type of the same cuts may be there already.
    Raises:
      FileExistsError: if the feature type is there. ValueError: if the cuts there are others, or none are given.
    """
    _require_whole_rate(spec)
    folder = Path(folder)
    target, cuts_folder = folder / spec.name, folder / CUTS_FOLDER
    if target.exists():
        raise FileExistsError(f"{target} exists; move it aside to export '{spec.name}' anew.")
    summary = _Summary(config.shard_size)
    with contextlib.ExitStack() as stack:
        frames_folder = stack.enter_context(_complete_or_absent(target))
        tar = stack.enter_context(ArrayShardWriter(frames_folder, config.shard_size))
        manifest = None
        if not cuts_folder.exists():
            new_cuts = stack.enter_context(_complete_or_absent(cuts_folder))
            manifest = stack.enter_context(CutShardWriter(new_cuts, config.shard_size))
        for cut in cuts:
            frames = load_frames(cut, spec)
            tar.write(cut.id, frames, 1.0 / spec.frame_rate_hz)
            if manifest is not None:
                manifest.write(cut)
            summary.add(cut)
        if summary.values()["num_cuts"] == 0:
            raise ValueError(f"there are no cuts to export to {folder}; extract '{spec.name}' first.")
        if manifest is not None:
            write_json(new_cuts / SUMMARY_FILE, summary.values())
        else:
            _require_same_cuts(_read_summary(folder), summary.values(), folder)
        spec.write(frames_folder / "spec.json")
    return summary.values()


def _differing(there: Dict[str, Any], given: Dict[str, Any]) -> List[Difference]:
    """In the order of the summary, which begins with what says most; one of before has no `contents`."""
    found = {one.name: one for one in differences(there, given, Rules(later=("contents",)))}
    return [found[key] for key in given if key in found]


def origin_of(manifest: Path, config: SharConfig, seed: int) -> Provenance:
    """What the export of the cuts of a manifest is made from; what its archives hold is taken from its figures."""
    inputs = {"manifest": digest_of_file(manifest), "archives": known_checksums(manifest)}
    return Provenance(inputs, {**to_dict(config), "seed": seed})


def is_exported(folder: Path, spec: FeatureSpec, origin: Provenance, cuts: Callable[[], Iterable[MonoCut]]) -> bool:
    """Whether the feature type is exported from what is there now; an export of something else is set aside.

    Args:
      folder: of the split. origin: of today. cuts: gives those to export; read only for an export of before origins
        were noted, which counts if its cuts are the same ones.
    Raises:
      ValueError: if it was exported with other settings.
    """
    target = folder / spec.name
    if not target.is_dir():
        return False
    before = Provenance.read_if_there(target / ORIGIN_FILE)
    if before is None:
        summary, there = _Summary(origin.settings["shard_size"]), _read_summary(folder)
        for cut in cuts():
            summary.add(cut)
        spec.require_same(FeatureSpec.read(target / "spec.json"), "the features", str(target))
        stale = bool(_differing(there, summary.values()))
    else:
        advice = "choose another --shar-dir, or give the same settings"
        stale = origin.is_stale(before, f"{target} was exported", advice, Rules(later=("archives",)))
    wrong = _damage(folder, spec.name, whole=True)
    if wrong is not None:
        LOG.warning("%s: it is exported anew", wrong)
    if stale or wrong is not None:
        # The cuts are those of all feature types, which would no longer fit them.
        LOG.warning("what was exported before is %s now", set_aside(folder)[0])
        return False
    if before is None:
        origin.write(target / ORIGIN_FILE)
    return True


def require_current(folder: Path, spec: FeatureSpec, manifest: Path) -> None:
    """Raise ValueError if the manifest that a split was exported from was made anew since; either may be elsewhere."""
    before = Provenance.read_if_there(folder / spec.name / ORIGIN_FILE)
    if before is not None and manifest.is_file() and before.inputs.get("manifest") != digest_of_file(manifest):
        raise ValueError(
            f"{folder / spec.name} was exported from another {manifest} than there is now; run export_shar.py again."
        )


def _require_same_cuts(there: Dict[str, Any], given: Dict[str, Any], folder: Path) -> None:
    found = _differing(there, given)
    if found:
        raise ValueError(
            f"the cuts in {folder} are others than those given ({against(found)}); export the same cuts in the same "
            "order and with the same shard size, or to another folder."
        )


def _damage(folder: Path, feature_type: str, whole: bool) -> Optional[str]:
    """What is wrong with the shards of a split, as a sentence without end; None: nothing, or it is not known."""
    for part in (folder / CUTS_FOLDER, folder / feature_type):
        if (part / CHECKSUM_FILE).is_file():
            wrong = damage(part, read_record(part / CHECKSUM_FILE), whole)
            if wrong is not None:
                return wrong
    return None


class _Pass:
    """The cuts of some shards, read anew whenever it is iterated over.

    Args:
      pairs: the shards of cuts and of the field `field`. num_cuts: of all. folder: to name in messages.
      checksums: of shards at addresses, where they are known.
    """

    def __init__(
        self, pairs: List[Tuple[Path, ...]], field: str, num_cuts: int, folder: Path, checksums: "_Checksums"
    ) -> None:
        self._pairs, self._field, self._num_cuts, self._folder = pairs, field, num_cuts, folder
        self._checksums = checksums

    def __iter__(self) -> Iterator[MonoCut]:
        found = 0
        cuts = self._read()
        while True:
            try:
                cut = next(cuts, None)
                if cut is None and found < self._num_cuts:
                    raise EOFError(f"they hold {found} cuts, expected {self._num_cuts}")
            except AddressError:
                raise
            except Exception as error:  # what shards can get wrong has no end, and each fails in its own way
                reason = reason_of(error)
            else:
                if cut is None:
                    return
                found += 1
                yield cut
                continue
            raise ValueError(
                f"the shards of {self._folder} cannot be read after {found} cuts ({reason}); copy them anew, or move "
                "the folder aside and export again."
            )

    def _read(self) -> Iterator[MonoCut]:
        pairs = iter(self._pairs)
        if isinstance(self._folder, Address):
            pairs = fetched_ahead(pairs, self._checksums.require)
        for manifest, archive in pairs:
            for cut, (cut_id, array) in zip(read_lines(manifest), read_arrays(archive)):
                if cut.id != cut_id or isinstance(cut, MixedCut):
                    raise ValueError(f"{archive.name} has frames of {cut_id}, where {manifest.name} has cut {cut.id}")
                cut.custom = {**(cut.custom or {}), self._field: fastcopy(array, start=cut.start)}
                yield cut


class _Checksums:
    """What the shards of a split at an address held when they were exported; nothing of exports that noted none."""

    def __init__(self, folder: Path, parts: Mapping[str, List[str]]) -> None:
        """`parts`: the names of the shards that each subfolder must have. Raises ValueError if it lists others."""
        self._expected: Dict[Path, Any] = {}
        for part, names in parts.items():
            listed = folder / part / CHECKSUM_FILE
            noted = read_record(listed, "checksums")["checksums"] if listed.is_file() else None
            if noted is not None and sorted(noted) != names:
                raise ValueError(f"{listed} lists {len(noted)} shards, expected {len(names)}; copy the split anew.")
            self._expected.update({folder / part / name: noted[name] for name in names if noted is not None})

    def require(self, address: Path, copy: Path) -> None:
        """Raise AddressError if the copy of a shard is not what was exported."""
        expected = self._expected.get(address)
        if expected is None:
            return
        found = checksum_of(copy)
        if found["bytes"] != expected.get("bytes"):
            raise AddressError(
                f"{address} gave {found['bytes']} bytes of {expected.get('bytes')}; run again, or copy it there anew."
            )
        if found != expected:
            raise AddressError(f"{address} is not what was exported: its content differs; copy it there anew.")


class SharSource:
    """The cuts of a Shar folder with the frames of one feature type, read anew, in sequence, at every pass.

    At an address each shard is fetched as a whole, to a temporary file, while the one before is read, and held against
    its checksum.

    Args:
      folder: that of the split, or its address. feature_type: name of the fields.
    Raises:
      FileNotFoundError: if it was not exported. ValueError: if shards are missing. AddressError: see base/addresses.py.
    """

    def __init__(self, folder: Path, feature_type: str) -> None:
        self._folder = folder = readable(folder)
        for needed in (folder / CUTS_FOLDER / SUMMARY_FILE, folder / feature_type / "spec.json"):
            if not needed.is_file():
                raise FileNotFoundError(
                    f"{needed} does not exist; export feature type '{feature_type}' with local/export_shar.py first."
                )
        self.spec = FeatureSpec.read(folder / feature_type / "spec.json")
        self.summary = _read_summary(folder)
        expected = -(-self.summary["num_cuts"] // self.summary["shard_size"])
        names = {
            CUTS_FOLDER: [CUTS_NAME.format(number) for number in range(expected)],
            feature_type: [SHARD_NAME.format(number) for number in range(expected)],
        }
        self._checksums = _Checksums(folder, names if isinstance(folder, Address) else {})
        if not isinstance(folder, Address):
            self._require_whole(names)
        self._pairs = [tuple(folder / part / name for part, name in zip(names, pair)) for pair in zip(*names.values())]

    def _require_whole(self, names: Mapping[str, List[str]]) -> None:
        """Raise ValueError if shards of a folder are missing or damaged, as far as is seen without reading them all."""
        for (part, expected), pattern in zip(names.items(), ("cuts.*.jsonl.gz", "frames.*.tar")):
            found = sorted(path.name for path in (self._folder / part).glob(pattern))
            if found != expected:
                field = part if part == CUTS_FOLDER else field_name(self.spec)
                raise ValueError(
                    f"{self._folder} has {len(found)} shards of {field} of '{self.spec.name}', expected "
                    f"{len(expected)}; copy the missing ones, or move the folder aside and export again."
                )
        wrong = _damage(self._folder, self.spec.name, whole=False)
        if wrong is not None:
            raise ValueError(f"{wrong}; run export_shar.py again, which makes it anew.")

    def cuts(self, seed: Optional[int] = None) -> CutSet:
        """All cuts, lazily: in the order of the export, or with the shards in an order drawn from `seed`."""
        order = list(range(len(self._pairs)))
        if seed is not None:
            random.Random(seed).shuffle(order)
        pairs, field = [self._pairs[index] for index in order], field_name(self.spec)
        return CutSet(_Pass(pairs, field, self.summary["num_cuts"], self._folder, self._checksums))


class KeptCuts:
    """The cuts of a SharSource that a filter keeps. Each pass reads them anew; nothing is held in memory.

    Args:
      source: where they are read. keep: tells which to train on. hours: of those, by language; num_cuts: their number.
      label_hours: of those that are no copies at another speed.
    """

    def __init__(
        self,
        source: SharSource,
        keep: Callable[[MonoCut], bool],
        hours: Dict[str, float],
        num_cuts: int,
        label_hours: float = 0.0,
    ) -> None:
        self._source, self._keep, self._num_cuts = source, keep, num_cuts
        self.hours, self.label_hours = hours, label_hours

    def __len__(self) -> int:
        return self._num_cuts

    def __iter__(self) -> Iterator[MonoCut]:
        return iter(self._source.cuts().filter(self._keep))

    def of_epoch(self, epoch: int, seed: int) -> CutSet:
        """The cuts of epoch number `epoch`, lazily, the shards in an order of its own."""
        return self._source.cuts(derived_seed(seed, epoch)).filter(self._keep)
