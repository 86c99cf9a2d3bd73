"""Cuts -> codes on disk, safe to kill at any moment.

A split becomes `<split>.codes` (archive), `<split>.jsonl.gz` (cuts), `extract-<split>.json` (figures) and, if cuts were
dropped, `dropped-<split>.jsonl` (or such files for each of several jobs, see sharding.py). The work is divided into
batches in a fixed order. Every few seconds the archive is synced to the disk and then, and only then, the batches it
holds are entered in a journal; a rerun cuts the archive back to the last entry and goes on. So the files of a run that
was killed and resumed are the same, byte for byte, as those of a run that was not, with any number of processes. The
figures file is written last: where it is, the split is done.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import math
import time
from pathlib import Path
from typing import Any, Callable, Counter, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from lhotse import MonoCut
from tqdm import tqdm

from icefall_discrete.audio.reading import UnreadableAudio, load_samples
from icefall_discrete.base.atomic_files import NO_SPACE, write_text
from icefall_discrete.base.device import check_name
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.provenance import Provenance, recorded_in, set_aside
from icefall_discrete.base.settings import MOST_PROCESSES, check_settings, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.audio_files import note_audio, require_same_audio
from icefall_discrete.data.checksums import (
    add_checksums,
    checksum_of,
    damage,
    read_figures,
    require_same_places,
)
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import load_cuts, write_cuts
from icefall_discrete.extraction.codebooks import codebook_files, settle_codebooks
from icefall_discrete.extraction.coded_cuts import CodedCuts
from icefall_discrete.extraction.encoding import UNREADABLE, Dropped, EncodedBatch, Flips, Job, TimedCodes
from icefall_discrete.extraction.journal import Journal
from icefall_discrete.extraction.planning import Plan
from icefall_discrete.extraction.sharding import (
    Shard,
    SplitFiles,
    archives_of,
    count_reasons,
    read_drops,
    shard_batches,
    what_is_wrong,
    without_old_inputs,
)
from icefall_discrete.extraction.spec_file import note_flips, settle_spec
from icefall_discrete.extraction.workers import encode_in_order, placed
from icefall_discrete.tokenizers.contract import DTYPES

LOG = logging.getLogger(__name__)
BATCH_SEC = 30.0  # audio of a batch; part of the journal's header, since batches are what it counts
PACKS_OF_BATCH = (
    8  # how many times a network is filled for a batch, of whose utterances those of like length go together
)
ENOUGH_CHECKED = 10000  # codes from which on too many that differ end an extraction early
SYNC_EVERY_SEC = 3.0  # at most this much work is lost by a kill


@dataclasses.dataclass(frozen=True)
class ExtractionConfig:
    """How codes are extracted."""

    speed_factors: Tuple[float, ...] = setting(
        (1.0,), "speeds to encode each cut at, such as 0.9,1.0,1.1", minimum=0.1, maximum=10, distinct=True
    )
    nj: int = setting(1, "number of processes", minimum=1, maximum=MOST_PROCESSES)
    max_drop_fraction: float = setting(
        0.05, "largest part of a split that may be dropped before it is an error", minimum=0, maximum=1
    )
    resample: bool = setting(False, "allow audio of another sample rate than the tokenizer's, and resample it")
    num_shards: int = setting(
        1, "jobs that extract the split together, each a shard of it (then: merge_shards.py)", minimum=1
    )
    shard_id: int = setting(0, "which shard to extract, from 0", minimum=0)
    device: str = setting("cpu", "where networks run: cpu, cuda, cuda:N, or auto (CUDA where there is one to use)")
    dtype: str = setting("float32", "numbers that networks compute in; others give other codes", choices=tuple(DTYPES))
    batch_duration: float = setting(
        0.0,
        "seconds of padded audio that go through the network at once, for accelerators; 0: each utterance alone",
        minimum=0,
        maximum=100000,
    )
    max_flipped_fraction: float = setting(
        0.001, "largest part of the codes that going together may change before it is an error", minimum=0, maximum=1
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.speed_factors:
            raise ValueError("speed_factors is empty, expected at least one speed, such as 1.0.")
        if not 0 <= self.shard_id < self.num_shards:
            raise ValueError(f"shard_id is {self.shard_id}, expected 0 to num_shards - 1 = {self.num_shards - 1}.")
        check_name(self.device)


def batch_seconds(config: ExtractionConfig) -> float:
    """Seconds of a batch: about BATCH_SEC, or as many as go together well."""
    return max(BATCH_SEC, PACKS_OF_BATCH * config.batch_duration)


def _made_from(plan: Plan, spec: FeatureSpec, config: ExtractionConfig, seed: int) -> Provenance:
    promise = dataclasses.replace(spec, made_with={}).to_json()
    return Provenance(
        {
            "cuts": plan.digest,
            "num_cuts": plan.num_cuts,
            "spec": hashlib.sha256(json.dumps(promise, sort_keys=True).encode()).hexdigest(),
        },
        {
            "speed_factors": list(config.speed_factors),
            "seed": seed,
            "batch_sec": BATCH_SEC,
            **({"batch_duration": config.batch_duration} if config.batch_duration else {}),
        },
    )


def _wrong_places(files: SplitFiles, figures: Dict[str, Any]) -> Optional[str]:
    """What is wrong with a manifest whose archives are whole; None if nothing is."""
    try:
        require_same_places(files.manifest, load_cuts(files.manifest, True) if "places" in figures else (), figures)
    except ValueError as error:
        return str(error)
    return None


def _is_done(files: SplitFiles, made_from: Provenance) -> bool:
    if not files.figures.exists():
        return False
    figures = read_figures(files.figures, "bytes")
    advice = (
        f"rerun with what it was made from, or move {files.figures} aside and rerun stage 3, which extracts it anew in "
        "its place"
    )
    made_from.require_same(recorded_in(figures, files.figures), f"{files.manifest} was extracted", advice)
    wrong = what_is_wrong(files, figures) or damage(files.figures.parent, figures, whole=True)
    if wrong is None and (wrong := _wrong_places(files, figures)) is not None:
        set_aside(files.manifest)  # someone may have changed it with a purpose
    if wrong is not None:
        LOG.warning("%s: extracting it anew", wrong)
        files.figures.unlink(missing_ok=True)
    return wrong is None


def _is_mended(files: SplitFiles, plan: Plan, sample_rate_hz: int) -> bool:
    """Whether audio that could not be read when the split was extracted can be read now."""
    unreadable = {drop["id"] for drop in read_drops(files.dropped) if drop["reason"] == UNREADABLE}
    for cut in plan if unreadable else ():
        if cut.id in unreadable:
            with contextlib.suppress(UnreadableAudio):
                load_samples(cut, sample_rate_hz)
                LOG.info("%s: cut %s can be read now: extracting what was left out", files.manifest, cut.id)
                return True
    return False


def _still_good(files: SplitFiles, made_from: Provenance, plan: Plan, sample_rate_hz: int) -> bool:
    """Whether `files` are complete, and nothing that was left out can be had now; if it can, they count as begun."""
    if not _is_done(files, made_from):
        return False
    lost = {drop["id"] for drop in read_drops(files.dropped)}
    _require_same_audio(files, (cut for cut in plan if cut.id not in lost))
    if _is_mended(files, plan, sample_rate_hz):
        files.figures.unlink(missing_ok=True)
        return False
    figures = read_figures(files.figures)
    if "checksums" not in figures:
        figures = without_old_inputs(figures, made_from)
        add_checksums(files.figures, figures, archives_of(files, figures), load_cuts(files.manifest, True))
    if UNREADABLE not in figures.get("dropped", {}):
        files.journal.unlink(missing_ok=True)  # of a job that was killed when all was written
    LOG.info("%s is complete already: nothing to do", files.manifest)
    return True


def _require_same_audio(files: SplitFiles, encoded: Iterable[MonoCut]) -> None:
    advice = f"move {files.archive}, {files.figures}, {files.journal} and {files.audio} aside and rerun stage 3"
    require_same_audio(files.audio, encoded, f"{files.archive} was extracted", advice)


def _forget_unreadable(journal: Journal) -> None:
    """Go back to before the first batch with a file that could not be read; what was too short stays so."""
    for index, record in enumerate(journal):
        if any(isinstance(entry, dict) and entry["reason"] == UNREADABLE for entry in record["entries"]):
            journal.keep(index)
            return


class _Run:
    """One extraction of one split: the archive, the journal and what is not yet safe.

    Attributes:
      order: numbers of the batches to encode. num_cuts: that they hold. entries, dropped: how many cuts are entered,
        and of these why some were dropped, with the first one's message.
    """

    def __init__(self, files: SplitFiles, journal: Journal, plan: Plan, config: ExtractionConfig):
        self.files, self.journal, self.plan, self.config = files, journal, plan, config
        # A batch keeps its number within the split, on which its random numbers depend, whoever encodes it.
        every, shards = range(len(plan.sizes)), config.num_shards
        self.order: Sequence[int] = shard_batches(plan.seconds, shards)[config.shard_id] if shards > 1 else every
        self.num_cuts = sum(plan.sizes[index] for index in self.order)
        # That of the whole split, since nothing says how a shard shares in it.
        self.max_dropped = int(config.max_drop_fraction * plan.num_cuts)
        self._drop_what_the_archive_lacks()
        self.flips, self.entries, self.first_drop = Flips(), 0, ""
        self.dropped: Counter[str] = collections.Counter()
        end = 0
        for record in journal:
            self._count(record)
            end = record["end"]
        self.archive = FlatArchiveWriter(files.archive, keep_bytes=end)
        self._handed_out: Deque[Job] = collections.deque()
        self._unsafe: List[Dict[str, Any]] = []
        self._entered = self._synced = time.monotonic()

    def _drop_what_the_archive_lacks(self) -> None:
        size = self.files.archive.stat().st_size if self.files.archive.exists() else 0
        self.journal.keep(sum(1 for record in self.journal if record["end"] <= size))

    def _count(self, record: Dict[str, Any]) -> None:
        drops = [entry for entry in record["entries"] if isinstance(entry, dict)]
        self.entries += len(record["entries"])
        self.dropped.update(entry["reason"] for entry in drops)
        self.first_drop = self.first_drop or (drops[0]["message"] if drops else "")
        self.flips = self.flips.plus(Flips(*record.get("flips", ())))

    @property
    def start(self) -> int:
        """Index of the first batch to encode."""
        return len(self.journal)

    def settle_audio(self) -> None:
        """Check the audio of what is encoded, and note that of what is to be encoded."""
        if self.entries > sum(self.dropped.values()):
            done = zip(self.plan.batches(self.order[: self.start]), self.journal)
            pairs = ((cut, entry) for (_, cuts), record in done for cut, entry in zip(cuts, record["entries"]))
            _require_same_audio(self.files, (cut for cut, entry in pairs if not isinstance(entry, dict)))
        else:
            self.files.audio.unlink(missing_ok=True)
        rest = self.plan.batches(self.order[self.start :])
        note_audio(self.files.audio, (cut for _, cuts in rest for cut in cuts))

    def jobs(self) -> Iterator[Job]:
        """The batches that are left; what is entered is of them, in their order."""
        for job in self.plan.batches(self.order[self.start :]):
            self._handed_out.append(job)
            yield job

    def enter(self, encoded: EncodedBatch) -> None:
        """Store a batch; from time to time, make what is stored safe."""
        entries: List[Union[str, List[str], Dict[str, str]]] = []
        for cut, outcome in zip(self._handed_out.popleft()[1], encoded.outcomes):
            if isinstance(outcome, Dropped):
                LOG.warning("dropped: %s", outcome.message)
                entries.append({"reason": outcome.reason, "message": outcome.message})
            else:
                parts = outcome if isinstance(outcome, TimedCodes) else [outcome]
                keys = [self.archive.write(cut.id, part) for part in parts]
                entries.append(keys[0] if len(keys) == 1 else keys)
        now = time.monotonic()
        record = {
            "end": self.archive.end,
            "entries": entries,
            "wall_sec": round(now - self._entered, 3),
            "encode_sec": round(encoded.encode_sec, 3),
            **({"flips": list(encoded.flips)} if encoded.flips.checked else {}),
        }
        self._unsafe.append(record)
        self._count(record)
        self._entered = now
        self._check_drops()
        if self.flips.checked >= ENOUGH_CHECKED:
            self.check_flips()
        if now - self._synced >= SYNC_EVERY_SEC:
            self.make_safe()

    def check_flips(self) -> None:
        """Raise ValueError if going together changed more codes than it may."""
        checked, flipped = self.flips
        if flipped > self.config.max_flipped_fraction * checked:
            self.make_safe()
            raise ValueError(
                f"{flipped} of {checked} codes differ from those of utterances alone ({flipped / checked:.2%}), more "
                f"than max_flipped_fraction allows ({self.config.max_flipped_fraction:.2%}); allow more, or move "
                f"{self.files.archive} and {self.files.journal} aside and extract in float32, or with batch_duration 0."
            )

    def make_safe(self) -> None:
        """Sync the archive, then the journal: never the other way round."""
        self.archive.sync()
        self.journal.append(self._unsafe)
        self._unsafe = []
        self._synced = time.monotonic()

    def _check_drops(self) -> None:
        number = sum(self.dropped.values())
        if number <= self.max_dropped:
            return
        self.make_safe()
        _forget_unreadable(self.journal)
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items()))
        raise ValueError(
            f"{number} of {self.num_cuts} cuts cannot be used ({reasons}), more than max_drop_fraction allows "
            f"({self.max_dropped}); the first: {self.first_drop}"
        )


def _progress(run: _Run, split: str) -> tqdm:
    seconds = run.plan.seconds
    return tqdm(
        desc=f"extract {split}",
        total=math.ceil(sum(seconds[index] for index in run.order)),
        initial=round(sum(seconds[index] for index in run.order[: run.start])),
        unit="s",
        unit_scale=True,
    )


def _encode_rest(run: _Run, split: str, tokenizer: Any, make_tokenizer: Callable[[], Any], seed: int) -> None:
    together, nj = run.config.batch_duration, min(run.config.nj, max(1, len(run.order) - run.start))
    begun, done_sec = time.monotonic(), 0.0
    with _progress(run, split) as bar:
        for encoded in encode_in_order(run.jobs(), tokenizer, make_tokenizer, nj, seed, together):
            run.enter(encoded)
            seconds = run.plan.seconds[encoded.index]
            done_sec += seconds
            bar.set_postfix(rtf=f"{(time.monotonic() - begun) / done_sec:.4f}", refresh=False)
            bar.update(seconds)
    run.make_safe()
    run.check_flips()


def _finish(run: _Run, spec: FeatureSpec, made_from: Provenance, config: ExtractionConfig) -> Dict[str, Any]:
    folder = run.files.archive.parent
    found = CodedCuts(run.plan.batches(run.order), run.journal, spec, run.files.archive.name)
    write_cuts(run.files.manifest, found)
    if found.drops:
        write_text(run.files.dropped, "".join(json.dumps(drop, ensure_ascii=False) + "\n" for drop in found.drops))
    elif run.files.dropped.exists():
        run.files.dropped.unlink()
    figures: Dict[str, Any] = {
        "audio_sec": round(found.audio_sec, 3),
        "wall_sec": round(found.wall_sec, 3),
        "encode_sec": round(found.encode_sec, 3),
        "rtf": round(found.encode_sec / found.audio_sec, 6) if found.audio_sec else None,
        "nj": config.nj,
        "num_cuts": found.num_cuts,
        "dropped": count_reasons(found.drops),
        "bytes": run.archive.end,
        "archives": {run.files.archive.name: run.archive.end},
        "checksums": {name: checksum_of(folder / name) for name in (run.files.archive.name, *codebook_files(folder))},
        "places": found.places.hexdigest(),
        "made_from": made_from.to_json(),
    }
    if config.batch_duration:
        figures["together"] = {"batch_duration": config.batch_duration, **run.flips._asdict()}
    if config.num_shards > 1:
        figures.update({"max_dropped": run.max_dropped, "batches": list(found.batches(run.order))})
    elif config.batch_duration:
        note_flips(folder, run.files.name, run.flips)
    write_json(run.files.figures, figures)
    return figures


@contextlib.contextmanager
def _full_disk_explained(run: _Run, split: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        safe = sum(len(record["entries"]) for record in run.journal)
        raise OSError(
            error.errno,
            f"no space left while extracting {split} ({error.strerror}): {safe} of {run.num_cuts} cuts are safe in "
            f"{run.files.archive}; free space, then rerun the same command to continue.",
        ) from error


def _extract_rest(
    run: _Run, tokenizer: Any, make_tokenizer: Callable[[], Any], made_from: Provenance, seed: int
) -> Dict[str, Any]:
    """Encode what is left of a run and write its manifest and figures."""
    name = run.files.name
    if run.start:
        LOG.info("%s: going on after batch %d of %d", name, run.start, len(run.order))
    try:
        with _full_disk_explained(run, name):
            _encode_rest(run, name, tokenizer, make_tokenizer, seed)
            return _finish(run, tokenizer.spec, made_from, run.config)
    finally:
        run.archive.close()


def extract(
    cuts: Iterable[MonoCut],
    make_tokenizer: Callable[[], Any],
    out_dir: Path,
    split: str,
    config: ExtractionConfig = ExtractionConfig(),
    seed: int = 0,
) -> Dict[str, Any]:
    """Encode the cuts of one split and write them to `out_dir`; continue, or do nothing, if that was done before.

    Audio that could not be read then is tried again; if some of it can be, so is what followed it.
    With `config.num_shards` > 1, encode and write one shard of it, to be merged by sharding.merge_shards.

    Args:
      cuts: cuts with recordings, the whole split; read several times, and not held. make_tokenizer: makes the
        (fitted) tokenizer; picklable if config.nj > 1.
      out_dir: folder of the feature type. split: name of the files.
      config: speeds, processes, drops, shard. seed: of the tokenizer's random numbers, if it draws any.
    Returns:
      The figures: audio_sec, wall_sec, encode_sec (reading and encoding, summed over processes), rtf (encode_sec /
      audio_sec: of one process with one thread, whatever nj is), num_cuts, dropped {reason: count}, bytes.
    Raises:
      ValueError: other inputs or settings than the files on disk were made with, wrong sample rate, too many drops.
      OSError: a full disk. RuntimeError: a worker died, or another process is extracting the same split.
    """
    out_dir = Path(out_dir)
    make_placed = functools.partial(placed, make_tokenizer, config.device, config.dtype)
    tokenizer = make_placed()
    out_dir.mkdir(parents=True, exist_ok=True)
    settle_spec(out_dir, tokenizer.spec)
    _check_together(tokenizer, config)
    plan = Plan(cuts, config.speed_factors, batch_seconds(config))
    plan.check(split, tokenizer, config.resample)
    shard = Shard(config.shard_id, config.num_shards)
    of_split = _made_from(plan, tokenizer.spec, config, seed)
    made_from = dataclasses.replace(of_split, settings={**of_split.settings, **shard.settings()})
    files = SplitFiles.of(out_dir, split, shard)
    settle_codebooks(out_dir, tokenizer.codebooks())
    was_done = files.figures.exists()
    for candidate, expected in ((SplitFiles.of(out_dir, split), of_split), (files, made_from)):
        if _still_good(candidate, expected, plan, tokenizer.sample_rate_hz):
            return read_figures(candidate.figures)
    journal = Journal(files.journal, made_from.to_json())
    try:
        if was_done:
            _forget_unreadable(journal)
        run = _Run(files, journal, plan, config)
        run.settle_audio()
        figures = _extract_rest(run, tokenizer, make_placed, made_from, seed)
        if UNREADABLE not in figures["dropped"]:
            journal.remove()
    finally:
        journal.close()
    LOG.info(
        "%s: %d cuts, %s h, %s dropped, %d bytes, real-time factor %.4f",
        *(files.name, figures["num_cuts"], hours_text(figures["audio_sec"] / 3600), figures["dropped"] or "none"),
        *(figures["bytes"], figures["rtf"] or 0.0),
    )
    return figures


def _check_together(tokenizer: Any, config: ExtractionConfig) -> None:
    reason = tokenizer.why_not_together() if config.batch_duration else ""
    if reason:
        raise ValueError(
            f"batch_duration is {config.batch_duration:g}, but {tokenizer.name} takes utterances one at a time: "
            f"{reason}; leave it out, and use several processes (nj)."
        )
