"""Read every cut back and hold it against each promise of the spec; then say on one page what is there."""

import dataclasses
from pathlib import Path
from typing import AbstractSet, Any, Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np
from lhotse import MonoCut
from tqdm import tqdm

from icefall_discrete.base.disk_tables import NumbersByName
from icefall_discrete.base.numbers import hours_text
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.checksums import (
    Places,
    add_checksums,
    read_figures,
    require_same_archives,
    require_same_places,
)
from icefall_discrete.data.cuts import (
    SPEED_SUFFIX,
    check_num_frames,
    field_name,
    is_speed_perturbed,
    load_cuts,
    load_durations,
    load_frames,
    num_frames,
    original_id,
    storage_dtype,
)
from icefall_discrete.data.facts import require_fact
from icefall_discrete.metrics.code_usage import CodeUsage, bytes_per_hour, nominal_bits_per_second
from icefall_discrete.metrics.position_information import PositionInformation


@dataclasses.dataclass
class SplitReport:
    """What one split holds. Durations include speed-perturbed copies; `recordings` are ids without their suffix.

    num_units, num_base_frames: of codes of a variable rate, the runs and the frames that they stand for.
    places: digest of the parts of archives that the cuts have (data/checksums.py).
    """

    split: str
    num_cuts: int = 0
    num_perturbed: int = 0
    audio_sec: float = 0.0
    num_frames: int = 0
    num_bytes: int = 0
    num_units: int = 0
    num_base_frames: int = 0
    dropped: Dict[str, int] = dataclasses.field(default_factory=dict)
    rtf: Optional[float] = None
    usage: Optional[CodeUsage] = None
    position: Optional[PositionInformation] = None
    recordings: AbstractSet[str] = frozenset()
    places: str = ""


def check_frames(cut: MonoCut, spec: FeatureSpec) -> np.ndarray:
    """Return the cut's codes (T, K) or features (T, D) after checking dtype, columns and length; reading checks values.

    Raises ValueError that names the cut, the value and what was expected.
    """
    frames = load_frames(cut, spec)
    advice = f"move the folder of '{spec.name}' aside and extract again."
    width = spec.num_codebooks if spec.kind == "codes" else spec.feature_dim
    if frames.shape != (num_frames(cut, spec), width):
        raise ValueError(
            f"cut {cut.id}: its archive holds {frames.shape}, expected {(num_frames(cut, spec), width)}; {advice}"
        )
    if frames.dtype.name != storage_dtype(spec):
        raise ValueError(f"cut {cut.id}: stored as {frames.dtype.name}, expected {storage_dtype(spec)}; {advice}")
    if len(frames) == 0:
        raise ValueError(f"cut {cut.id}: has no {field_name(spec)} frames; {advice}")
    check_num_frames(cut, spec)
    return frames


def check_durations(cut: MonoCut, num_codes: int, spec: FeatureSpec) -> np.ndarray:
    """Return the durations (U,) of the units of a cut with `num_codes` codes of a variable rate, after checking them.

    Raises ValueError that names the cut; that they sum to the cut's length is checked by `check_frames`.
    """
    durations = load_durations(cut, spec)
    if len(durations) < num_codes or durations.min() < 1:
        raise ValueError(
            f"cut {cut.id}: {len(durations)} durations, the shortest of {durations.min()} frames, for {num_codes} "
            "codes, expected one of at least 1 frame for each unit of each code; "
            f"move the folder of '{spec.name}' aside and extract again."
        )
    return durations


def _check_perturbed(cut: MonoCut, durations: Mapping[str, float]) -> None:
    suffix = SPEED_SUFFIX.search(cut.id)
    if suffix is None:
        raise ValueError(f"cut {cut.id}: is speed-perturbed but its id does not end in _sp<factor>; extract it again.")
    original = durations.get(original_id(cut, cut.id))
    if original is not None and abs(original / float(suffix.group(1)) - cut.duration) > 0.001:
        raise ValueError(
            f"cut {cut.id}: lasts {cut.duration:.3f} s, but the original's {original:.3f} s at speed {suffix.group(1)} "
            f"are {original / float(suffix.group(1)):.3f} s; extract it again."
        )


def _seconds_of(cuts: Iterable[MonoCut], split: str) -> NumbersByName:
    """How long each cut lasts, by id. Raises ValueError for an id that occurs twice."""
    seconds, twice = NumbersByName("the list of cuts"), ""
    for cut in cuts:
        if not seconds.add(cut.id, cut.duration):
            twice = twice or cut.id
    if twice:  # behind the last cut, where a manifest says how many there are
        raise ValueError(f"cut {twice}: occurs twice in {split}; ids must be unique: remake the manifest.")
    return seconds


def check_split(
    cuts: Iterable[MonoCut], spec: FeatureSpec, split: str, required: Sequence[str] = ("text",)
) -> SplitReport:
    """Check every cut: codes, facts that are `required`, unique ids, perturbed lengths.

    Cuts are read twice, and none is held: what is known of all lies in temporary files.
    Raises ValueError naming the first bad cut.
    """
    cuts = list(cuts) if iter(cuts) is cuts else cuts
    seconds = _seconds_of(cuts, split)
    report = SplitReport(split)
    if spec.kind == "codes":
        report.usage = CodeUsage(spec.codebook_sizes)
        report.position = PositionInformation(spec.codebook_sizes, spec.frame_rate_hz)
    recordings, places = NumbersByName("the list of recordings"), Places()
    for cut in tqdm(cuts, f"check {split}", len(seconds), unit="cut"):
        for name in required:
            require_fact(cut, name)
        frames = check_frames(cut, spec)
        if is_speed_perturbed(cut):
            _check_perturbed(cut, seconds)
            report.num_perturbed += 1
        if report.usage is not None and report.position is not None:
            report.usage.add(frames)
            report.position.add(frames)
        report.num_cuts += 1
        report.audio_sec += cut.duration
        report.num_frames += len(frames)
        report.num_bytes += frames.nbytes
        if spec.has_variable_rate:
            durations = check_durations(cut, len(frames), spec)
            report.num_bytes += durations.nbytes
            report.num_units += len(durations)
            report.num_base_frames += int(durations.sum())
        recordings.add(original_id(cut, cut.recording_id))
        places.add(cut)
    report.recordings, report.places = recordings.keys(), places.hexdigest()
    return report


def check_no_overlap(reports: Iterable[SplitReport], train_split: str) -> None:
    """Raise ValueError if a recording of another split is also in the training split; the recording is named."""
    reports = list(reports)
    train = next((report for report in reports if report.split == train_split), None)
    for report in reports:
        common = sorted(train.recordings & report.recordings) if train is not None and report is not train else []
        if common:
            raise ValueError(
                f"recording {common[0]} is in {train_split} and in {report.split} ({len(common)} such recordings): "
                "the figures would be worthless; remake the manifests with disjoint splits."
            )


def _check_sizes(feature_dir: Path, archives: Mapping[str, int]) -> None:
    for name, size in archives.items():
        path = feature_dir / name
        if path.is_file() and path.stat().st_size != size:
            raise ValueError(
                f"{path} has {path.stat().st_size} bytes, but {size} were extracted; run stage 3 (extract_codes.py) "
                "again, which makes the split anew."
            )


def check_folder(
    feature_dir: Path, splits: Iterable[str], train_split: str, required: Sequence[str] = ("text",)
) -> List[SplitReport]:
    """Check every split of a feature folder against its spec.json, and the splits against one another.

    Archives are read whole and held against their checksums; where a split has none yet, they are added.

    Raises:
      ValueError: for the first broken promise. FileNotFoundError: if a split was not extracted.
    """
    feature_dir = Path(feature_dir)
    spec = FeatureSpec.read(feature_dir / "spec.json")
    reports = []
    for split in splits:
        figures_file = feature_dir / f"extract-{split}.json"
        figures = read_figures(figures_file, "bytes", "dropped", "rtf")
        manifest = feature_dir / f"{split}.jsonl.gz"
        cuts = load_cuts(manifest, lazy=True, distinct=True)
        archives = figures.get("archives", {f"{split}.codes": figures["bytes"]})
        _check_sizes(feature_dir, archives)
        report = check_split(cuts, spec, split, required)
        if report.num_bytes != figures["bytes"]:
            raise ValueError(
                f"{split}: the cuts point to {report.num_bytes} bytes of an archive of {figures['bytes']}; run stage 3 "
                "(extract_codes.py) again, which makes the split anew."
            )
        require_same_archives(feature_dir, figures, whole=True)
        require_same_places(manifest, cuts, figures, report.places)
        if "checksums" not in figures:
            add_checksums(figures_file, figures, archives, cuts)
        report.dropped, report.rtf = figures["dropped"], figures["rtf"]
        reports.append(report)
    check_no_overlap(reports, train_split)
    return reports


def measured_bits_per_second(report: SplitReport, spec: FeatureSpec) -> Optional[float]:
    """Codes a second that were found x sum of log2 V, as https://arxiv.org/abs/2406.07725 counts; None for features."""
    if spec.kind == "continuous" or report.audio_sec == 0.0:
        return None
    return nominal_bits_per_second(report.num_frames / report.audio_sec, spec.codebook_sizes)


def _rates_of(report: SplitReport) -> Optional[Dict[str, float]]:
    """Base frames, units and codes a second; None where the rate is constant."""
    if report.num_base_frames == 0:
        return None
    counts = {"frames": report.num_base_frames, "units": report.num_units, "codes": report.num_frames}
    return {name: count / report.audio_sec for name, count in counts.items()}


def figures_of(reports: List[SplitReport], spec: FeatureSpec, train_split: str) -> Dict[str, Any]:
    """report.json: rates and sizes of the feature type, code use on the training split, and figures of each split."""
    audio_sec = sum(report.audio_sec for report in reports)
    encode_sec = sum((report.rtf or 0.0) * report.audio_sec for report in reports)
    figures = {
        "feature_type": spec.name,
        "kind": spec.kind,
        "frame_rate_hz": spec.frame_rate_hz,
        "bits_per_second": spec.bits_per_second,
        "measured_bits_per_second": None,
        "entropy_bits_per_second": None,
        "bytes_per_hour": bytes_per_hour(sum(report.num_bytes for report in reports), audio_sec),
        "rtf": encode_sec / audio_sec,
        "code_usage": None,
        "position_fraction_of_entropy": None,
        "splits": {
            report.split: {
                "num_cuts": report.num_cuts,
                "num_perturbed": report.num_perturbed,
                "hours": report.audio_sec / 3600,
                "num_frames": report.num_frames,
                "bits_per_second": measured_bits_per_second(report, spec),
                "bytes": report.num_bytes,
                "dropped": report.dropped,
                "rtf": report.rtf,
            }
            for report in reports
        },
    }
    measured = next((r for r in reports if r.split == train_split), reports[0])
    figures["rates_hz"] = _rates_of(measured)
    if measured.usage is not None and measured.position is not None:
        figures["code_usage"] = measured.usage.summary()
        figures["measured_bits_per_second"] = measured_bits_per_second(measured, spec)
        figures["entropy_bits_per_second"] = spec.frame_rate_hz * measured.usage.entropy_bits_per_frame
        figures["position_fraction_of_entropy"] = measured.position.fraction_of_entropy
    return figures


def _sequence_lines(rates: Optional[Mapping[str, float]]) -> List[str]:
    if rates is None:
        return []
    frames, units, codes = rates["frames"], rates["units"], rates["codes"]
    return [
        f"sequence         {frames:.2f} frames, {units:.2f} units ({units / frames:.1%}) and {codes:.2f} codes "
        f"({codes / frames:.1%}) a second"
    ]


def report_text(figures: Mapping[str, Any], spec: FeatureSpec) -> str:
    """report.txt: the figures on one page."""
    shape = (
        f"{spec.num_codebooks} x {', '.join(str(size) for size in sorted(set(spec.codebook_sizes)))} entries"
        if spec.kind == "codes"
        else f"{spec.feature_dim} dimensions"
    )
    rate = f"{spec.frame_rate_hz:g} Hz"
    if spec.has_variable_rate:
        rate = f"{spec.frame_rate_hz:.2f} Hz on average (at most {spec.max_frame_rate_hz:g})"
    lines = [
        f"feature type     {spec.name}: {spec.kind}, {rate}, {shape}",
        f"bit rate         {figures['bits_per_second']:.1f} bits/s nominal",
        f"on disk          {figures['bytes_per_hour'] / 1e6:.3f} MB per hour of audio",
        f"extraction       {figures['rtf']:.4f} of real time, one process and thread",
    ]
    usage = figures["code_usage"]
    if usage is not None:
        lines[2:2] = [
            f"                 {figures['measured_bits_per_second']:.1f} bits/s measured: codes a second x log2 V",
            *_sequence_lines(figures["rates_hz"]),
            f"entropy          {figures['entropy_bits_per_second']:.1f} bits/s",
            f"codebook use     {usage['fraction_used']:.1%} (least used: {usage['fraction_used_min']:.1%})",
            f"perplexity       {usage['perplexity']:.1f} (lowest: {usage['perplexity_min']:.1f})",
            f"position         {figures['position_fraction_of_entropy']:.1%} of the entropy tells only the time since "
            "the utterance began",
        ]
    lines += ["", f"{'split':<16}{'hours':>12}{'cuts':>9}{'perturbed':>11}{'frames':>11}  dropped"]
    for name, split in figures["splits"].items():
        dropped = ", ".join(f"{count} {reason}" for reason, count in split["dropped"].items()) or "none"
        lines.append(
            f"{name:<16}{hours_text(split['hours']):>12}{split['num_cuts']:>9}{split['num_perturbed']:>11}"
            f"{split['num_frames']:>11}  {dropped}"
        )
    lines += ["", "every cut was read back; every promise of spec.json holds", ""]
    return "\n".join(lines)
