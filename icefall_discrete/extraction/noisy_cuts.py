"""Noisy versions of the cuts of a split, on disk: FLAC files and a manifest for each kind of noise and each ratio.

They are stored, not mixed while reading: extraction and scoring take cuts of one recording, a stored file is the same
for every feature type and every version of a library, and one can listen to it. A set that was made before is left as
it is; one that was interrupted goes on; one of other settings is made anew.
"""

import collections
import concurrent.futures
import hashlib
import json
import logging
from pathlib import Path
from typing import Any, Deque, Dict, Iterator, List, Sequence

from lhotse import AudioSource, MonoCut, Recording
from lhotse.utils import fastcopy
from tqdm import tqdm

from icefall_discrete.audio.noise import Condition, NoiseSource, mix
from icefall_discrete.audio.reading import load_finite
from icefall_discrete.audio.writing import write_flac
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance, read_record, recorded_in, summary
from icefall_discrete.data.audio_files import note_audio, require_same_audio
from icefall_discrete.data.cuts import without_frames, write_cuts
from icefall_discrete.extraction.journal import Journal

LOG = logging.getLogger(__name__)
Record = Dict[str, Any]
SUFFIX = ".jsonl.gz"
_AUDIO_RECORD = "audio.gz"


def noisy_manifest(clean_manifest: Path, condition: Condition) -> Path:
    """Where the manifest of a noisy set lies: beside the clean one, `<its name>-<kind>-snr<dB>.jsonl.gz`."""
    name = Path(clean_manifest).name
    if not name.endswith(SUFFIX):
        raise ValueError(f"{clean_manifest}: expected a manifest that ends in {SUFFIX}.")
    return Path(clean_manifest).with_name(condition.set_name(name[: -len(SUFFIX)]) + SUFFIX)


def _inputs(cuts: Sequence[MonoCut], condition: Condition, source: NoiseSource) -> Record:
    digest = hashlib.sha256()
    for cut in cuts:
        values = without_frames(cut).to_dict()
        del values["recording"]["sources"]  # audio may be moved to another folder
        digest.update(json.dumps(values, sort_keys=True).encode())
    return {"cuts": digest.hexdigest(), "snr_db": condition.snr_db, **source.inputs(condition.kind)}


def write_noisy_cut(cut: MonoCut, condition: Condition, source: NoiseSource, path: Path) -> Record:
    """Mix a cut with its noise and write it to a FLAC file; returns its gain and the ratio that was reached.

    Raises ValueError, naming the cut, if it is silent or cannot be read.
    """
    rate = cut.sampling_rate
    speech = load_finite(cut, rate).double().numpy()
    noise = source.noise(condition.kind, cut.id, len(speech), rate)
    try:
        mixture = mix(speech, noise, condition.snr_db, rate)
    except ValueError as error:
        raise ValueError(f"cut {cut.id}: {error} Leave it out of the manifest.") from None
    write_flac(path, mixture.samples, rate)
    return {"gain": round(mixture.gain, 6), "snr_db": round(mixture.snr_db, 4) + 0.0}  # no -0.0


def _noisy_cut(cut: MonoCut, condition: Condition, record: Record, made_from: str, path: Path) -> MonoCut:
    noisy_id = condition.cut_id(cut.id)
    recording = Recording(
        id=noisy_id,
        sources=[AudioSource(type="file", channels=[0], source=str(path))],
        sampling_rate=cut.sampling_rate,
        num_samples=cut.num_samples,
        duration=cut.duration,
    )
    return MonoCut(
        id=noisy_id,
        start=0.0,
        duration=cut.duration,
        channel=0,
        recording=recording,
        supervisions=[
            fastcopy(s, id=condition.cut_id(s.id), recording_id=noisy_id, channel=0) for s in cut.supervisions
        ],
        custom={
            **(without_frames(cut).custom or {}),
            "clean_id": cut.id,
            "noise": condition.kind,
            "snr_db": condition.snr_db,
            "gain": record["gain"],
            "made_from": made_from,
        },
    )


def _in_order(
    cuts: Sequence[MonoCut], condition: Condition, source: NoiseSource, folder: Path, nj: int
) -> Iterator[Record]:
    """Records of the cuts, in order; at most 2 nj cuts are under way. Threads, as the work is in native code."""
    pending: Deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(nj) as pool:
        for cut in cuts:
            if len(pending) >= 2 * nj:
                yield pending.popleft().result()
            path = _audio_path(folder, condition, cut)
            pending.append(pool.submit(write_noisy_cut, cut, condition, source, path))
        while pending:
            yield pending.popleft().result()


def _audio_path(folder: Path, condition: Condition, cut: MonoCut) -> Path:
    return path_inside(folder, condition.cut_id(cut.id), "the id of a noisy cut", ".flac")


def _open_journal(path: Path, inputs: Record) -> Journal:
    try:
        return Journal(path, inputs)
    except ValueError:
        LOG.warning("%s was begun with other settings: starting anew", path.parent)
        path.unlink()
        return Journal(path, inputs)


def _figures(cuts: Sequence[MonoCut], records: List[Record], inputs: Record) -> Record:
    return {
        "num_cuts": len(cuts),
        "audio_sec": round(sum(cut.duration for cut in cuts), 3),
        "num_made_softer": sum(record["gain"] < 1.0 for record in records),
        "smallest_gain": min(record["gain"] for record in records),
        "snr_db_reached": [min(r["snr_db"] for r in records), max(r["snr_db"] for r in records)],
        "made_from": Provenance(inputs).to_json(),
    }


def write_noisy_set(
    cuts: Sequence[MonoCut], condition: Condition, source: NoiseSource, clean_manifest: Path, audio_dir: Path, nj: int
) -> Record:
    """Write one noisy set: FLAC files to `audio_dir`/<set>, its manifest and its figures (JSON) beside the clean one.

    Args:
      cuts: of `clean_manifest`, each with a recording. audio_dir: of all noisy sets. nj: threads.
    Returns:
      The figures: num_cuts, audio_sec, num_made_softer and smallest_gain (clipping avoided), snr_db_reached (least and
      most), made_from.
    """
    manifest = noisy_manifest(clean_manifest, condition)
    name = manifest.name[: -len(SUFFIX)]
    folder, figures_path = Path(audio_dir).resolve() / name, manifest.with_name(f"{name}.json")
    inputs = json.loads(json.dumps(_inputs(cuts, condition, source)))
    heard, advice = [*cuts, *source.cuts_of(condition.kind)], f"move {folder} and {figures_path} aside and rerun"
    if manifest.is_file() and figures_path.is_file():
        figures = read_record(figures_path)
        found = Provenance(inputs).differences(recorded_in(figures, figures_path))
        if not found:
            require_same_audio(folder / _AUDIO_RECORD, heard, f"{manifest} was made", advice)
            (folder / ".journal").unlink(missing_ok=True)
            LOG.info("%s is complete already: nothing to do", manifest)
            return figures
        LOG.warning("%s was made with other %s: it is made anew", manifest, summary(found))
    figures_path.unlink(missing_ok=True)
    journal = _open_journal(folder / ".journal", inputs)
    try:
        done = len(journal)
        if done:
            read = [*cuts[:done], *source.cuts_of(condition.kind)]
            require_same_audio(folder / _AUDIO_RECORD, read, f"{folder} was begun", advice)
        note_audio(folder / _AUDIO_RECORD, heard)
        with tqdm(cuts, desc=f"noise {name}", initial=done, total=len(cuts), unit="cut") as bar:
            for record in _in_order(cuts[done:], condition, source, folder, nj):
                journal.append([record])
                bar.update(1)
        made_from = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
        records = list(journal)
        write_cuts(manifest, _noisy_cuts(cuts, condition, records, made_from, folder))
        figures = _figures(cuts, records, inputs)
        write_json(figures_path, figures)
        journal.remove()
    finally:
        journal.close()
    LOG.info("%s: %d cuts at %s dB", manifest, len(cuts), " to ".join(map("{:.2f}".format, figures["snr_db_reached"])))
    return figures


def _noisy_cuts(
    cuts: Sequence[MonoCut], condition: Condition, records: Sequence[Record], made_from: str, folder: Path
) -> Iterator[MonoCut]:
    for cut, record in zip(cuts, records):
        yield _noisy_cut(cut, condition, record, made_from, _audio_path(folder, condition, cut))
