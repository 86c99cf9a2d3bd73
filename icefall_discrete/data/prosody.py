"""Voicing, pitch and loudness of each frame of codes: what a vocoder may be told besides, and learns to expect.

Prosody (T, 3) has a row for each frame at the rate of the generator: 1 where there is voice and 0 where not; the
natural logarithm of F0 over 100 Hz, without voice on a line between the nearest frames that have one; the common
logarithm of the power of the frame. It is computed once for the cuts of a split (audio/pitch.py), and kept beside their
codes.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from lhotse import CutSet, MonoCut
from lhotse.array import Array, TemporalArray
from lhotse.utils import fastcopy
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.audio.pitch import pitch
from icefall_discrete.audio.reading import load_finite
from icefall_discrete.base.atomic_files import replacing
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import ArchiveKey, FlatArchiveReader, FlatArchiveWriter
from icefall_discrete.data.cuts import FIELDS, cuts_digest, load_durations, load_frames, num_frames
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.speech import frame_samples

LOG = logging.getLogger(__name__)
PROSODY = "prosody"
FOLDER = "prosody"
REFERENCE_HZ = 100.0
_SILENCE = 1e-8
_VERSION = 1
_FEATURES = FIELDS["continuous"]


def prosody_of(samples: Tensor, sample_rate_hz: int, frame_size: int, num: int) -> np.ndarray:
    """Prosody (T, 3) float32 of samples (S,), for `num` (T) frames of `frame_size` samples."""
    audio = np.zeros(max(1, num) * frame_size)
    held = samples.numpy()[: len(audio)]
    audio[: len(held)] = held
    f0 = pitch(audio, sample_rate_hz, frame_size / sample_rate_hz)[:num]
    voiced = np.flatnonzero(f0)
    logs = np.log(f0[voiced] / REFERENCE_HZ)
    melody = np.interp(np.arange(num), voiced, logs) if len(voiced) else np.zeros(num)
    power = np.square(audio).reshape(-1, frame_size).mean(axis=1)[:num]
    return np.stack([f0 > 0, melody, np.log10(power + _SILENCE)], axis=1).astype(np.float32)


def _frames_of(cut: MonoCut, spec: FeatureSpec) -> int:
    return int(load_durations(cut, spec).sum()) if spec.has_variable_rate else num_frames(cut, spec)


class _Measured(torch.utils.data.Dataset):
    """Prosody of cuts, by their places."""

    def __init__(self, cuts: List[MonoCut], spec: FeatureSpec) -> None:
        self.cuts, self.spec = cuts, spec

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, place: int) -> np.ndarray:
        cut, rate = self.cuts[place], self.spec.sample_rate_hz
        return prosody_of(load_finite(cut, rate), rate, frame_samples(self.spec), _frames_of(cut, self.spec))


def _first(rows: List[np.ndarray]) -> np.ndarray:
    return rows[0]


def _made_from(cuts: List[MonoCut], spec: FeatureSpec) -> Dict[str, Any]:
    return {"version": _VERSION, "cuts": cuts_digest(cuts), "codes": spec.name, "frame_samples": frame_samples(spec)}


def _measure(cuts: List[MonoCut], spec: FeatureSpec, archive: Path, num_workers: int) -> Dict[str, str]:
    """Write an archive of the prosody of cuts; its keys by their ids."""
    # With a generator of its own, so that a training draws the same whether this is done before it or was.
    own, measured_cuts = torch.Generator(), _Measured(cuts, spec)
    loader = torch.utils.data.DataLoader(measured_cuts, num_workers=num_workers, collate_fn=_first, generator=own)
    with replacing(archive) as temporary, FlatArchiveWriter(temporary) as writer:
        measured = zip(cuts, tqdm(loader, desc=f"Prosody of {archive.stem}", unit="cut"))
        keys = {cut.id: writer.write(cut.id, rows) for cut, rows in measured}
        writer.sync()
    return keys


def with_prosody(cuts: CutSet, spec: FeatureSpec, feature_dir: Path, split: str, num_workers: int = 0) -> CutSet:
    """The cuts of a split with their prosody, for WithProsody.

    It lies in `feature_dir`/prosody/, `<split>.frames` and `<split>.json`; it is computed if it is not there, or is
    that of other cuts. An interrupted computation begins anew.

    Args:
      spec: of their codes. num_workers: processes that compute it; 0: this one.
    Raises:
      UnreadableAudio: for audio that cannot be read, or is not finite; the cut is named.
    """
    kept = list(cuts)
    archive, listed = (Path(feature_dir) / FOLDER / f"{split}.{kind}" for kind in ("frames", "json"))
    made_from = _made_from(kept, spec)
    known = read_object(listed) if listed.is_file() and archive.is_file() else {}
    if known.get("made_from") != made_from:
        archive.parent.mkdir(parents=True, exist_ok=True)
        LOG.info(f"Voicing, F0 and loudness of the {len(kept)} cuts of {split} are computed, once, to {archive}.")
        known = {"made_from": made_from, "keys": _measure(kept, spec, archive, num_workers)}
        write_json(listed, known)
    return CutSet.from_cuts([_with_array(cut, known["keys"][cut.id], archive, spec) for cut in kept])


def _with_array(cut: MonoCut, key: str, archive: Path, spec: FeatureSpec) -> MonoCut:
    place = ArchiveKey.parse(key)
    stored = Array(FlatArchiveReader.name, str(archive), key, [place.num_frames, place.num_columns])
    shift = frame_samples(spec) / spec.sample_rate_hz
    array = TemporalArray(stored, temporal_dim=0, frame_shift=shift, start=cut.start)
    return fastcopy(cut, custom={**(cut.custom or {}), PROSODY: array})


@dataclasses.dataclass(frozen=True)
class WithProsody:
    """Adds `prosody` (N, T, 3) float32 to a batch, zeros behind ends, of cuts that `with_prosody` gave, or parts."""

    spec: FeatureSpec

    def __call__(self, cuts: CutSet, batch: Batch) -> Batch:
        """The batch of these cuts with their prosody."""
        found = [prosody_frames(cut, self.spec) for cut in cuts]
        rows = [row for row in found if row is not None]
        if len(rows) < len(found):
            return batch
        return {**batch, PROSODY: torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)}


def prosody_frames(cut: MonoCut, spec: FeatureSpec) -> Optional[Tensor]:
    """Prosody (T, 3) of a cut with codes of `spec`; None for one that `with_prosody` did not give."""
    array = (cut.custom or {}).get(PROSODY)
    if not isinstance(array, TemporalArray):
        return None
    rate = spec.max_frame_rate_hz or spec.frame_rate_hz
    like = FeatureSpec(PROSODY, "continuous", spec.sample_rate_hz, rate, 0, (), 3)
    return torch.from_numpy(load_frames(fastcopy(cut, custom={_FEATURES: array}), like).copy())
